import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { setImmediate as turn } from 'node:timers/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import type { ChunkStore, LocalChunkStore } from '../../src/bootstrap/chunk-store.ts';
import { RegistryError } from '../../src/errors.ts';
import { BatchedChunks } from '../../src/fetch/batched.ts';
import { BlobChunks } from '../../src/fetch/blob-chunks.ts';
import { CoalescedChunks } from '../../src/fetch/coalesced.ts';
import { defaultFailurePolicy } from '../../src/fetch/failure-policy.ts';
import { type FetchedChunks, fetchChunks } from '../../src/fetch/fetch-chunks.ts';
import { type ChunkBatch, type ChunkResult, keptChunk } from '../../src/fetch/fetch-store.ts';
import { RetriedChunks, type RetryClock } from '../../src/fetch/retried.ts';
import { FetchScheduler } from '../../src/fetch/scheduler.ts';
import { SequentialChunks } from '../../src/fetch/sequential.ts';
import { loadZstd } from '../../src/zstd/codec.ts';
import { CHUNK_LENGTH, chunkContent, MemoryBlobSource, type SampleBlob, sampleBlob } from './memory-blob-source.ts';

let blob: SampleBlob;
let other: SampleBlob;

beforeAll(async () => {
  await loadZstd();
  blob = sampleBlob(600);
  other = sampleBlob(10);
});

function image() {
  return { reference: 'oci:sample', algorithm: 'sha256' as const, devices: [blob, other] };
}

function expectContent(bytes: Uint8Array, chunk: number): void {
  expect(Buffer.compare(bytes, chunkContent(chunk))).toBe(0);
}

async function expectChunks(store: ChunkStore, chunks: readonly number[], device = 0): Promise<void> {
  const all = await Promise.all(chunks.map((chunk) => store.read(device, chunk)));
  for (const [i, bytes] of all.entries()) expectContent(bytes, chunks[i]!);
}

/** First and last chunk of every request so far. */
function runs(source: MemoryBlobSource): string[] {
  return source.requests.map(({ start, end, digest }) => {
    const { chunks } = digest === blob.descriptor.digest ? blob : other;
    let [first, last] = [0, 0];
    while (chunks.compressedOffset(first) < start) first++;
    while (chunks.compressedOffset(last) + chunks.compressedLength(last) < end) last++;
    expect(chunks.compressedOffset(first)).toBe(start);
    expect(chunks.compressedOffset(last) + chunks.compressedLength(last)).toBe(end);
    return `${first}-${last}`;
  });
}

const flip = (position: number) => (bytes: Uint8Array) => {
  bytes[position] = (bytes[position] ?? 0) ^ 1;
  return bytes;
};
const unreachable = (): never => {
  throw new RegistryError('SLUICE_REGISTRY_UNREACHABLE', 'Cannot reach registry: connection reset');
};

function queue(...places: MemoryBlobSource[]): BatchedChunks {
  const scheduler = new FetchScheduler();
  const sources = places.map((place) => ({
    link: scheduler.takeLink(place.name),
    source: new BlobChunks(place, image()),
  }));
  return new BatchedChunks(sources, image().devices, scheduler);
}

function fetched(source: MemoryBlobSource): FetchedChunks {
  return fetchChunks([source], image(), defaultFailurePolicy, new FetchScheduler());
}

/** As if it kept nothing. */
const local = (store: ChunkStore): LocalChunkStore => {
  const read: ChunkStore['read'] = (device, chunk, signal) => store.read(device, chunk, signal);
  return { read, bring: read };
};

/** Chunks as they come from a place, with no policy. */
function oneByOne(source: MemoryBlobSource): ChunkStore {
  const chunks = new BlobChunks(source, image());
  const read = async (device: number, chunk: number): Promise<Uint8Array> => {
    let result: ChunkResult | undefined;
    const delivered = (_: number, what: ChunkResult): void => {
      result = what;
    };
    const batch: ChunkBatch = { device, chunks: [chunk] };
    await chunks.readBatch(batch, { delivered, received: () => undefined }, new AbortController().signal);
    if (result !== undefined && 'bytes' in result) return result.bytes;
    throw result?.error;
  };
  return { read };
}

/** A clock that stands still but for the waits, which are over at once. */
class TestClock implements RetryClock {
  time = 0;
  readonly waits: number[] = [];
  now(): number {
    return this.time;
  }
  random(): number {
    return 1;
  }
  async wait(milliseconds: number): Promise<void> {
    this.waits.push(milliseconds);
    this.time += milliseconds;
    await turn();
  }
}

describe('BlobChunks', () => {
  it('reads a chunk of any device by one range request', async () => {
    const source = new MemoryBlobSource([blob, other]);
    const chunks = oneByOne(source);
    expectContent(await chunks.read(0, 17), 17);
    expectContent(await chunks.read(1, 9), 9);
    expect(runs(source)).toEqual(['17-17', '9-9']);
    await expect(chunks.read(2, 0)).rejects.toThrow(RangeError);
  });

  it.each([
    ['content', 20_000],
    ['frame header', 5],
  ])('finds out a flipped bit in the %s, with the facts', async (_, position) => {
    const source = new MemoryBlobSource([blob, other]);
    source.faults.push(flip(position));
    await expect(oneByOne(source).read(0, 3)).rejects.toMatchObject({
      code: 'SLUICE_CHUNK_DIGEST_MISMATCH',
      facts: {
        image: 'oci:sample',
        blob: blob.descriptor.digest,
        chunk: 3,
        expected: Buffer.from(blob.chunks.digest(3)).toString('hex'),
        uncompressedOffset: 3 * CHUNK_LENGTH,
        compressedOffset: blob.chunks.compressedOffset(3),
      },
    });
  });

  it('calls a body that ends early what it is, and takes no more than it needs of a long one', async () => {
    const source = new MemoryBlobSource([blob, other]);
    source.faults.push(
      (bytes) => bytes.subarray(0, bytes.length - 1),
      (bytes) => Buffer.concat([bytes, new Uint8Array(100_000)]),
    );
    const chunks = oneByOne(source);
    await expect(chunks.read(0, 3)).rejects.toMatchObject({ code: 'SLUICE_REGISTRY_RANGE', retryable: true });
    expectContent(await chunks.read(0, 3), 3);
    expect(source.requests.every(({ done }) => done)).toBe(true);
  });
});

describe('BatchedChunks', () => {
  it.each([
    ['neighbours', [4, 6, 5], ['4-6']],
    ['neighbours but for one chunk', [4, 6], ['4-6']],
    ['chunks further apart', [4, 8], ['4-4', '8-8']],
    ['chunks further apart, the later one first', [8, 4], ['8-8', '4-4']],
    ['two runs', [1, 2, 50, 51, 3], ['1-3', '50-51']],
  ])('sends %s in as few requests as they need', async (_, asked, expected) => {
    const source = new MemoryBlobSource([blob, other]);
    await expectChunks(queue(source), asked);
    expect(runs(source)).toEqual(expected);
  });

  it('has what lies between two chunks kept, unless it is, and goes across nothing that comes already', async () => {
    const source = new MemoryBlobSource([blob, other]);
    const kept: number[] = [];
    const keeper = {
      has: (_: number, chunk: number) => chunk === 31,
      keep: (_: number, chunk: number, bytes: Uint8Array) => {
        expectContent(bytes, chunk);
        if (chunk !== 21 && chunk !== 20) return false;
        kept.push(chunk);
        return true;
      },
    };
    const scheduler = new FetchScheduler();
    const places = [{ link: scheduler.takeLink(source.name), source: new BlobChunks(source, image()) }];
    const store = new BatchedChunks(places, image().devices, scheduler, keeper);
    const [taken] = await Promise.all([store.read(0, 20), expectChunks(store, [22, 30, 32])]);
    expect(runs(source)).toEqual(['20-22', '30-32']);
    expect(kept).toEqual([20, 21]);
    expect(taken).toBe(keptChunk);
    source.hold();
    const first = expectChunks(store, [41]);
    await turn();
    const second = expectChunks(store, [40, 42]);
    await turn();
    source.release();
    await Promise.all([first, second]);
    expect(runs(source).slice(2)).toEqual(['41-41', '40-40', '42-42']);
  });

  it('keeps requests below 4 MiB and below 8 at once', async () => {
    const source = new MemoryBlobSource([blob, other]);
    source.hold();
    const all = expectChunks(
      queue(source),
      Array.from({ length: 32 }, (_, i) => i * 6),
    );
    await turn();
    expect(source.requests.length).toBe(8);
    source.release();
    await all;
    expect(source.requests.length).toBe(32);
    const whole = new MemoryBlobSource([blob, other]);
    await expectChunks(
      queue(whole),
      Array.from({ length: 200 }, (_, i) => i),
    );
    expect(runs(whole)).toEqual(['0-126', '127-199']);
  });

  it('delivers each chunk when its own bytes are in', async () => {
    const source = new MemoryBlobSource([blob, other], 1000);
    const store = queue(source);
    const order: string[] = [];
    source.onPiece = async () => {
      if (order.at(-1) !== 'piece') order.push('piece');
    };
    await Promise.all([0, 1, 2].map((chunk) => store.read(0, chunk).then(() => order.push(`chunk ${chunk}`))));
    expect(order).toEqual(['piece', 'chunk 0', 'piece', 'chunk 1', 'piece', 'chunk 2']);
  });

  it('fails only the damaged chunk of a batch', async () => {
    const source = new MemoryBlobSource([blob, other]);
    source.faults.push(flip(CHUNK_LENGTH + 5000), flip(5000));
    const store = queue(source);
    const results = await Promise.allSettled([10, 11, 12].map((chunk) => store.read(0, chunk)));
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  });

  it('sends demand before prefetch, and keeps requests free for it', async () => {
    const source = new MemoryBlobSource([blob, other]);
    const store = queue(source);
    source.hold();
    const all = [
      ...Array.from({ length: 10 }, (_, i) => store.read(0, 10 * i, undefined, 'prefetch')),
      store.read(0, 150),
    ];
    await turn();
    expect(runs(source)[0]).toBe('150-150');
    expect(source.requests.length).toBe(6);
    all.push(store.read(0, 170), store.read(0, 180));
    await turn();
    expect(runs(source).slice(6)).toEqual(['170-170', '180-180']);
    store.promote(0, 90, 'demand');
    source.release();
    await Promise.all(all);
    expect(runs(source)[8]).toBe('90-90');
  });

  it('lets prefetch follow demand in a request, never go before it', async () => {
    const source = new MemoryBlobSource([blob, other]);
    const store = queue(source);
    await Promise.all([
      store.read(0, 9, undefined, 'prefetch'),
      store.read(0, 10),
      ...[11, 12, 13, 14].map((chunk) => store.read(0, chunk, undefined, 'prefetch')),
      store.read(0, 15),
    ]);
    expect(runs(source)).toEqual(['10-14', '15-15', '9-9']);
  });

  it('refuses chunks and devices that do not exist', async () => {
    const store = queue(new MemoryBlobSource([blob, other]));
    await expect(store.read(0, 600)).rejects.toThrow(RangeError);
    await expect(store.read(2, 0)).rejects.toThrow(RangeError);
  });

  it('ends a request when nobody waits for its chunks any more, not before', async () => {
    const source = new MemoryBlobSource([blob, other]);
    const store = queue(source);
    source.hold();
    const [first, second, queued] = [new AbortController(), new AbortController(), new AbortController()];
    const reads = [store.read(0, 1, first.signal), store.read(0, 2, second.signal)];
    await turn();
    const never = store.read(0, 100, queued.signal);
    queued.abort();
    await expect(never).rejects.toThrow(/abort/);
    first.abort();
    await expect(reads[0]).rejects.toThrow(/abort/);
    expect(source.requests[0]!.done).toBe(false);
    second.abort();
    await expect(reads[1]).rejects.toThrow(/abort/);
    await turn();
    expect(source.requests).toMatchObject([{ done: true, aborted: true }]);
  });

  it('publishes one request for what went out', async () => {
    const messages: unknown[] = [];
    const listen = (message: unknown): void => void messages.push(message);
    subscribe('sluice:fetch:request', listen);
    try {
      await expectChunks(queue(new MemoryBlobSource([blob, other])), [4, 6]);
      await turn();
    } finally {
      unsubscribe('sluice:fetch:request', listen);
    }
    const bytes = blob.chunks.compressedOffset(7) - blob.chunks.compressedOffset(4);
    expect(messages).toMatchObject([{ device: 0, bytes, chunks: 2, priority: 'demand', error: undefined }]);
  });
});

describe('CoalescedChunks', () => {
  function coalesced(source: MemoryBlobSource): CoalescedChunks {
    return new CoalescedChunks(queue(source), [new Map(), new Map()]);
  }

  it('lets many reads wait by one signal without a warning of a leak', async () => {
    const store = coalesced(new MemoryBlobSource([blob, other]));
    const warnings: string[] = [];
    const note = (warning: Error): number => warnings.push(warning.name);
    process.on('warning', note);
    const { signal } = new AbortController();
    await Promise.all(Array.from({ length: 30 }, (_, chunk) => store.read(0, chunk, signal)));
    await turn();
    process.off('warning', note);
    expect(warnings).toEqual([]);
  });

  it('fetches a chunk once for all who wait', async () => {
    const source = new MemoryBlobSource([blob, other]);
    const store = coalesced(source);
    source.hold();
    const all = expectChunks(store, [5, 5, 5]);
    await turn();
    const later = expectChunks(store, [5]);
    source.release();
    await Promise.all([all, later]);
    expect(source.requests.length).toBe(1);
    await expectChunks(store, [5]);
    expect(source.requests.length).toBe(2);
  });

  it('lets a reader leave, and gives up when the last one has left', async () => {
    const source = new MemoryBlobSource([blob, other]);
    const store = coalesced(source);
    source.hold();
    const leaver = new AbortController();
    const last = new AbortController();
    const [left, stayed] = [store.read(0, 5, leaver.signal), store.read(0, 5, last.signal)];
    await turn();
    leaver.abort();
    await expect(left).rejects.toThrow(/abort/);
    expect(source.requests[0]!.done).toBe(false);
    last.abort();
    await expect(stayed).rejects.toThrow(/abort/);
    await turn();
    expect(source.requests[0]!.aborted).toBe(true);
    const again = store.read(0, 5);
    source.release();
    expectContent(await again, 5);
  });

  it('forgets a failure', async () => {
    const source = new MemoryBlobSource([blob, other]);
    const store = coalesced(source);
    source.faults.push(unreachable);
    const failed = await Promise.allSettled([store.read(0, 5), store.read(0, 5)]);
    expect(failed.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    await expectChunks(store, [5]);
  });

  it('makes prefetch demand when a reader joins', async () => {
    const source = new MemoryBlobSource([blob, other]);
    const store = coalesced(source);
    source.hold();
    const ahead = Array.from({ length: 8 }, (_, i) => store.read(0, 10 * i, undefined, 'prefetch'));
    await turn();
    expect(source.requests.length).toBe(6);
    const read = store.read(0, 70);
    await turn();
    expect(runs(source)[6]).toBe('70-70');
    source.release();
    await Promise.all([...ahead, read]);
    expect(source.requests.length).toBe(8);
  });
});

describe('RetriedChunks', () => {
  function retried(source: MemoryBlobSource, clock: TestClock): RetriedChunks {
    return new RetriedChunks(queue(source), defaultFailurePolicy, clock);
  }

  it('tries again with delays that double, a batch as a batch', async () => {
    const source = new MemoryBlobSource([blob, other]);
    const clock = new TestClock();
    source.faults.push(unreachable, unreachable, (bytes) => bytes.subarray(0, 10));
    await expectChunks(retried(source, clock), [7, 8, 9]);
    expect(runs(source)).toEqual(['7-9', '7-9', '7-9', '7-9']);
    expect(clock.waits).toEqual([100, 200, 400]);
  });

  it('asks again only for what a broken answer did not bring', async () => {
    const source = new MemoryBlobSource([blob, other]);
    source.faults.push((bytes) => bytes.subarray(0, CHUNK_LENGTH + 5000));
    await expectChunks(retried(source, new TestClock()), [7, 8, 9]);
    expect(runs(source)).toEqual(['7-9', '8-9']);
  });

  it('gives up at the deadline with the last error', async () => {
    const source = new MemoryBlobSource([blob, other]);
    const clock = new TestClock();
    source.faults.push(...Array.from({ length: 100 }, () => unreachable));
    await expect(retried(source, clock).read(0, 1)).rejects.toMatchObject({ code: 'SLUICE_REGISTRY_UNREACHABLE' });
    expect(clock.time).toBeLessThanOrEqual(30_000);
    expect(clock.time).toBeGreaterThan(20_000);
    expect(Math.max(...clock.waits)).toBe(5_000);
  });

  it('tries wrong bytes once more, at once', async () => {
    const clock = new TestClock();
    const once = new MemoryBlobSource([blob, other]);
    once.faults.push(flip(5000));
    await expectChunks(retried(once, clock), [1]);
    const twice = new MemoryBlobSource([blob, other]);
    twice.faults.push(flip(5000), flip(5000));
    await expect(retried(twice, clock).read(0, 1)).rejects.toMatchObject({ code: 'SLUICE_CHUNK_DIGEST_MISMATCH' });
    expect(clock.waits).toEqual([]);
  });

  it('does not try what will not change, and leaves when its reader does', async () => {
    const source = new MemoryBlobSource([blob, other]);
    const store = retried(source, new TestClock());
    source.faults.push(() => {
      throw new RegistryError('SLUICE_REGISTRY_PROTOCOL', 'Cannot read blob: no HTTP');
    });
    await expect(store.read(0, 1)).rejects.toMatchObject({ code: 'SLUICE_REGISTRY_PROTOCOL' });
    expect(source.requests.length).toBe(1);
    const reader = new AbortController();
    source.faults.push(() => {
      reader.abort();
      return unreachable();
    });
    await expect(store.read(0, 1, reader.signal)).rejects.toThrow(/abort/);
    expect(source.requests.length).toBe(2);
  });
});

/** Chunks of 8 MiB: what has to be read before anything is read ahead. */
const minimumRun = (8 * 1024 * 1024) / CHUNK_LENGTH;

describe('SequentialChunks', () => {
  it('asks for nothing ahead of runs as short as what the kernel reads around a page fault', async () => {
    const source = new MemoryBlobSource([blob, other]);
    const chunks = fetched(source);
    const store = new SequentialChunks(
      local(chunks.demand),
      local(chunks.prefetch),
      image().devices,
      new AbortController().signal,
    );
    const read: string[] = [];
    for (let chunk = 0; chunk < minimumRun - 1; chunk++) {
      await store.read(0, chunk);
      read.push(`${chunk}-${chunk}`);
    }
    await turn();
    expect(runs(source)).toEqual(read);
  });

  it('asks for what follows in a run, by growing windows, and for nothing after a random read', async () => {
    const source = new MemoryBlobSource([blob, other]);
    const chunks = fetched(source);
    const stop = new AbortController();
    const store = new SequentialChunks(local(chunks.demand), local(chunks.prefetch), image().devices, stop.signal);
    for (const chunk of [150, 30, 90]) await store.read(0, chunk);
    await turn();
    expect(runs(source)).toEqual(['150-150', '30-30', '90-90']);
    source.requests.length = 0;
    for (let chunk = 0; chunk < minimumRun + 60; chunk++) {
      expectContent(await store.read(0, chunk), chunk);
      await turn();
    }
    stop.abort();
    await turn();
    const lengths = runs(source)
      .map((run) => run.split('-').map(Number))
      .map(([first, last]) => last! - first! + 1);
    expect(Math.max(...lengths)).toBeGreaterThan(30);
    expect(Math.max(...lengths)).toBeLessThanOrEqual(128);
  });

  it('tells runs apart that are read at the same time', async () => {
    const source = new MemoryBlobSource([blob, other]);
    const chunks = fetched(source);
    const store = new SequentialChunks(
      local(chunks.demand),
      local(chunks.prefetch),
      image().devices,
      new AbortController().signal,
    );
    const starts = [0, 300];
    for (let i = 0; i < minimumRun; i++) {
      await Promise.all(starts.map((start) => store.read(0, start + i)));
      await turn();
    }
    // In one request with the read that completed the run.
    const ahead = starts.map((start) => `${start + minimumRun - 1}-${start + minimumRun + 7}`);
    expect(runs(source).slice(-2).sort()).toEqual(ahead.sort());
  });

  it('leaves the reader alone with errors of what nobody asked for', async () => {
    const source = new MemoryBlobSource([blob, other]);
    const chunks = queue(source);
    let failures = 0;
    const failing = {
      read: async (): Promise<Uint8Array> => {
        failures++;
        return unreachable();
      },
    };
    const store = new SequentialChunks(local(chunks), local(failing), image().devices, new AbortController().signal);
    for (let chunk = 0; chunk < minimumRun + 2; chunk++) expectContent(await store.read(0, chunk), chunk);
    expect(failures).toBe(8);
  });
});
