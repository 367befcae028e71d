import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { setImmediate as turn } from 'node:timers/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { NotFoundError, RegistryError } from '../../src/errors.ts';
import type { ChunkMismatched } from '../../src/fetch/channels.ts';
import { FetchScheduler } from '../../src/fetch/scheduler.ts';
import { loadZstd } from '../../src/zstd/codec.ts';
import { chunkContent, MemoryBlobSource, type SampleBlob, sampleBlob } from './memory-blob-source.ts';
import { fetchedOf, queueOf } from './support.ts';

let blob: SampleBlob;
let other: SampleBlob;

beforeAll(async () => {
  await loadZstd();
  blob = sampleBlob(100);
  other = sampleBlob(10);
});

const unreachable = (): never => {
  throw new RegistryError('SLUICE_REGISTRY_UNREACHABLE', 'Cannot reach place: connection reset');
};
const missing = (): never => {
  throw new NotFoundError('SLUICE_BLOB_NOT_FOUND', 'Cannot read blob: answered 404');
};
const flipped = (bytes: Uint8Array): Uint8Array => {
  bytes[5000] = (bytes[5000] ?? 0) ^ 1;
  return bytes;
};

function setUp() {
  const clock = { now: 0 };
  const scheduler = new FetchScheduler(() => clock.now);
  const mirror = new MemoryBlobSource([blob, other], 10_000, 'memory:mirror');
  const registry = new MemoryBlobSource([blob, other], 10_000, 'memory:registry');
  const queue = queueOf([mirror, registry], { blobs: [blob, other], scheduler });
  const counts = (): number[] => [mirror.requests.length, registry.requests.length];
  const read = async (chunk: number, device = 0): Promise<number[]> => {
    expect(Buffer.compare(await queue.read(device, chunk), chunkContent(chunk))).toBe(0);
    await turn();
    return counts();
  };
  return { clock, mirror, registry, queue, read, counts };
}

describe('BatchedChunks with several places', () => {
  it('asks the first one while it works', async () => {
    const { read } = setUp();
    expect(await read(1)).toEqual([1, 0]);
    expect(await read(2)).toEqual([2, 0]);
  });

  it('goes on at the next one when it fails, lets it rest, and finds out beside a reader that it is back', async () => {
    const { read, mirror, clock } = setUp();
    mirror.faults.push(unreachable, unreachable);
    expect(await read(1)).toEqual([1, 1]);
    expect(await read(2)).toEqual([1, 2]);
    clock.now = 1000;
    expect(await read(3)).toEqual([2, 3]);
    clock.now = 2000;
    expect(await read(4)).toEqual([2, 4]);
    clock.now = 3000;
    expect(await read(5)).toEqual([3, 5]);
    expect(await read(6)).toEqual([4, 5]);
  });

  it('takes a place that lacks a blob to lack this one only', async () => {
    const { read, mirror } = setUp();
    mirror.faults.push(missing);
    expect(await read(1)).toEqual([1, 1]);
    expect(await read(2)).toEqual([1, 2]);
    expect(await read(3, 1)).toEqual([2, 2]);
  });

  it('asks for wrong bytes elsewhere, and names who sent them', async () => {
    const { read, mirror } = setUp();
    const told: ChunkMismatched[] = [];
    const note = (message: unknown): void => void told.push(message as ChunkMismatched);
    subscribe('sluice:fetch:mismatch', note);
    mirror.faults.push(flipped);
    try {
      expect(await read(1)).toEqual([1, 1]);
    } finally {
      unsubscribe('sluice:fetch:mismatch', note);
    }
    expect(told).toMatchObject([{ chunk: 1, place: 'memory:mirror', error: { facts: { place: 'memory:mirror' } } }]);
    expect(await read(2)).toEqual([1, 2]);
  });

  it('asks each place once, then fails: with what is worth waiting for, if there is any', async () => {
    const { queue, mirror, registry, counts } = setUp();
    mirror.faults.push(unreachable);
    registry.faults.push(missing);
    await expect(queue.read(0, 1)).rejects.toMatchObject({ code: 'SLUICE_REGISTRY_UNREACHABLE' });
    expect(counts()).toEqual([1, 1]);
    mirror.faults.push(flipped);
    registry.faults.push(flipped);
    await expect(queue.read(0, 2)).rejects.toMatchObject({ code: 'SLUICE_CHUNK_DIGEST_MISMATCH' });
    expect(counts()).toEqual([2, 2]);
  });

  it('gives up a silent place for another one', async () => {
    const [silent, good] = ['silent', 'good'].map((name) => new MemoryBlobSource([blob], 10_000, name));
    silent!.hold();
    const chunks = fetchedOf([silent!, good!], { blobs: [blob] });
    const start = performance.now();
    expect(Buffer.compare(await chunks.demand.read(0, 3), chunkContent(3))).toBe(0);
    expect(performance.now() - start).toBeLessThan(5000);
    expect(silent!.requests).toMatchObject([{ done: true, aborted: true }]);
    expect(chunks.traffic().place).toBe('good');
  });
});
