import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { setImmediate as turn } from 'node:timers/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { ChunkMap } from '../../src/chunk/chunk-map.ts';
import { defaultFailurePolicy } from '../../src/fetch/failure-policy.ts';
import { fetchChunks } from '../../src/fetch/fetch-chunks.ts';
import { FetchScheduler } from '../../src/fetch/scheduler.ts';
import type { PrefetchStopped } from '../../src/prefetch/channels.ts';
import { LinkWindow } from '../../src/prefetch/link-window.ts';
import { PrefetchQueue } from '../../src/prefetch/prefetch-queue.ts';
import { Usage } from '../../src/prefetch/usage.ts';
import { loadZstd } from '../../src/zstd/codec.ts';
import { MemoryBlobSource, sampleBlob } from '../fetch/memory-blob-source.ts';

const KIB = 1024;

/** A device of equal chunks, and a store that answers when it is told to. */
class Bench {
  readonly device: { chunks: ChunkMap; lastUsed: Uint32Array };
  readonly usage: Usage;
  readonly queue: PrefetchQueue;
  readonly asked: number[] = [];
  now = 0;
  delivered: readonly number[] = [];
  #waiting: { resolve: (bytes: Uint8Array) => void; reject: (error: unknown) => void }[] = [];

  constructor(count: number, compressedLength = 64 * KIB) {
    const chunk = { length: 256 * KIB, compressedLength, digest: new Uint8Array(32) };
    const chunks = ChunkMap.fromChunks(Array.from({ length: count }, () => chunk));
    this.device = { chunks, lastUsed: new Uint32Array(count) };
    this.usage = new Usage([this.device]);
    const read = (_: number, index: number): Promise<Uint8Array> => {
      this.asked.push(index);
      return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
    };
    this.queue = new PrefetchQueue({ read }, [this.device], () => this.now);
  }

  add(...chunks: readonly number[]): void {
    this.queue.add(
      chunks.map((chunk) => ({ device: 0, chunk })),
      this.usage,
    );
  }

  miss(...chunks: readonly number[]): void {
    this.queue.missed(chunks.map((chunk) => ({ device: 0, chunk })));
  }

  /** Answers all that was asked for, `latencyMs` later. */
  async answer(latencyMs = 20, error?: unknown): Promise<number> {
    await turn();
    this.now += latencyMs;
    const delivered = this.asked.length;
    const waiting = this.#waiting.splice(0);
    for (const { resolve, reject } of waiting) error === undefined ? resolve(new Uint8Array()) : reject(error);
    await turn();
    this.delivered = this.asked.slice(0, delivered);
    return waiting.length;
  }

  async answerAll(latencyMs?: number): Promise<void> {
    while ((await this.answer(latencyMs)) > 0);
  }
}

const range = (count: number, first = 0): number[] => Array.from({ length: count }, (_, i) => first + i);

describe('PrefetchQueue', () => {
  it('asks for a window of chunks at a time, in order, none twice', async () => {
    const bench = new Bench(100);
    bench.add(3, 1, 3, ...range(40));
    await turn();
    expect(bench.asked).toEqual([3, 1, 0, 2, 4, 5, 6, 7]);
    await bench.answerAll();
    expect(bench.asked.length).toBe(33);
  });

  it('leaves to a reader what the reader waits for', async () => {
    const bench = new Bench(100);
    bench.add(...range(20));
    bench.miss(15, 40);
    await bench.answerAll();
    bench.add(15, 40, 41);
    await bench.answerAll();
    expect(bench.asked).toEqual([...range(20).filter((chunk) => chunk !== 15), 41]);
  });

  it('never asks for more than a third of the image', async () => {
    const bench = new Bench(60);
    bench.add(...range(60));
    await bench.answerAll();
    expect(bench.asked.length).toBe(20);
  });

  it('counts what is read on its way, and later', async () => {
    const bench = new Bench(100);
    bench.add(0, 1, 2);
    await turn();
    bench.miss(0);
    await bench.answer();
    bench.device.lastUsed[2] = 7;
    expect([bench.usage.fetchedBytes, bench.usage.usedBytes()]).toEqual([3 * 64 * KIB, 2 * 64 * KIB]);
  });

  it('stops when nobody reads what it fetched', async () => {
    const bench = new Bench(2400);
    const stopped: PrefetchStopped[] = [];
    const listen = (message: unknown): unknown => stopped.push(message as PrefetchStopped);
    subscribe('sluice:prefetch:stopped', listen);
    bench.miss(2399);
    bench.add(...range(500));
    await bench.answerAll(3500);
    unsubscribe('sluice:prefetch:stopped', listen);
    expect(bench.queue.signal.aborted).toBe(true);
    expect(bench.asked.length).toBeLessThan(300);
    expect(stopped).toMatchObject([{ reason: 'unused', usedBytes: 0 }]);
  });

  it('goes on when a third of it is read', async () => {
    const bench = new Bench(2400);
    bench.miss(2399);
    bench.add(...range(500));
    while ((await bench.answer(3500)) > 0) {
      for (const chunk of bench.delivered) if (chunk % 3 === 0) bench.device.lastUsed[chunk] = 1;
    }
    expect(bench.asked.length).toBe(500);
  });

  it('does not judge before anybody reads', async () => {
    const bench = new Bench(400);
    bench.add(...range(120));
    await bench.answerAll(500);
    expect(bench.asked.length).toBe(120);
  });

  it('stops when reads fail', async () => {
    const bench = new Bench(400);
    bench.add(...range(120));
    await bench.answer(20, new Error('no network'));
    expect(bench.queue.signal.aborted).toBe(true);
    expect(bench.asked.length).toBe(8);
  });
});

describe('LinkWindow', () => {
  /** A link with a queue: what is asked for comes after what was asked for before. @returns the window, KiB */
  function settle(megabitsPerSecond: number, roundTripMs: number): number {
    const window = new LinkWindow();
    const bytesPerMs = (megabitsPerSecond * 1000) / 8;
    for (let round = 0; round < 200; round++) {
      for (let sent = 64 * KIB; sent <= window.size; sent += 64 * KIB) {
        window.delivered(64 * KIB, roundTripMs + sent / bytesPerMs);
      }
    }
    return window.size / KIB;
  }

  it.each([
    [10, 20, 128, 260],
    [100, 20, 900, 2000],
    [1000, 1, 7000, 8192],
  ])('follows a link of %d Mbit/s and %d ms', (megabits, roundTrip, least, most) => {
    const size = settle(megabits, roundTrip);
    expect(size).toBeGreaterThanOrEqual(least);
    expect(size).toBeLessThanOrEqual(most);
  });

  it('learns nothing from what was local', () => {
    const window = new LinkWindow();
    const before = window.size;
    window.delivered(64 * KIB, 0.1);
    expect(window.size).toBe(before);
  });
});

describe('demand beside prefetch', () => {
  beforeAll(() => loadZstd());

  it('is asked for at once, with a window of prefetch and no more under way', async () => {
    const blob = sampleBlob(300);
    const source = new MemoryBlobSource([blob]);
    const image = { reference: 'test', algorithm: 'sha256' as const, devices: [blob] };
    const chunks = fetchChunks([source], image, defaultFailurePolicy, new FetchScheduler());
    const device = { chunks: blob.chunks, lastUsed: new Uint32Array(300) };
    const queue = new PrefetchQueue(chunks.prefetch, [device]);
    source.hold();
    // Far apart, so that each is a request of its own.
    queue.add(
      range(60).map((i) => ({ device: 0, chunk: 5 * i })),
      new Usage([device]),
    );
    for (let i = 0; i < 5; i++) await turn();
    const prefetching = source.requests.reduce((sum, { start, end }) => sum + end - start, 0);
    expect(source.requests.length).toBeGreaterThan(1);
    expect(prefetching).toBeLessThanOrEqual(512 * KIB);
    const read = chunks.demand.read(0, 298);
    for (let i = 0; i < 5; i++) await turn();
    expect(source.requests.at(-1)?.start).toBe(blob.chunks.compressedOffset(298));
    source.release();
    expect((await read).length).toBe(32 * KIB);
    queue.stop('closed');
  });
});
