import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ChunkMap } from '../../src/chunk/chunk-map.ts';
import { RegistryError } from '../../src/errors.ts';
import { Fill, type FillOptions } from '../../src/mount/fill.ts';
import { LocalContent } from '../../src/mount/local-content.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const away = new RegistryError('SLUICE_REGISTRY_UNREACHABLE', 'Cannot reach it');

/** Two devices of equal chunks, a store that answers when it is told to, and a cache with as much room as it is given. */
class Bench {
  readonly compressed = 64 * KIB;
  readonly length = 128 * KIB;
  readonly present = [new Set<number>(), new Set<number>()];
  readonly asked: (readonly [number, number])[] = [];
  /** Bytes the cache has room for beyond what is local. */
  maximumBytes = 2 ** 40;
  freeBytes = 2 ** 40;
  writable = true;
  /** False: what comes is not in the cache afterwards. */
  keeps = true;
  readonly fill: Fill;
  readonly local: LocalContent;
  #waiting: {
    at: readonly [number, number];
    resolve: (bytes: Uint8Array) => void;
    reject: (error: unknown) => void;
  }[] = [];

  constructor(...counts: readonly [number, number]) {
    const chunk = { length: this.length, compressedLength: this.compressed, digest: new Uint8Array(32) };
    const devices = counts.map((count, i) => ({
      chunks: ChunkMap.fromChunks(Array.from({ length: count }, () => chunk)),
      present: () => [...(this.present[i] ?? [])].sort((a, b) => a - b),
    }));
    this.local = new LocalContent(devices);
    const read = (device: number, index: number): Promise<Uint8Array> => this.#read(device, index);
    const store = { read, bring: read };
    this.fill = new Fill({
      reference: 'docker://host/app:1',
      devices,
      local: this.local,
      chunks: { eager: store, background: store },
      cache: { state: () => this.#state() },
    });
  }

  start(kind: FillOptions['kind'], bytesPerSecond?: number): void {
    this.fill.start({ kind, bytesPerSecond });
  }

  /** Answers what is waiting. @returns how many that were */
  async answer(error?: (device: number, chunk: number) => unknown): Promise<number> {
    const waiting = this.#waiting.splice(0);
    for (const { at, resolve, reject } of waiting) {
      const failure = error?.(...at);
      if (failure !== undefined) reject(failure);
      else {
        if (this.keeps) this.present[at[0]]?.add(at[1]);
        resolve(new Uint8Array());
      }
    }
    await settle();
    return waiting.length;
  }

  async answerAll(error?: (device: number, chunk: number) => unknown): Promise<void> {
    while ((await this.answer(error)) > 0);
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  #read(device: number, chunk: number): Promise<Uint8Array> {
    const at = [device, chunk] as const;
    this.asked.push(at);
    return new Promise((resolve, reject) => this.#waiting.push({ at, resolve, reject }));
  }

  #state() {
    const bytes = this.present.reduce((sum, { size }) => sum + size * this.length, 0);
    return {
      writable: this.writable,
      bytes,
      maximumBytes: this.maximumBytes,
      freeBytes: this.freeBytes,
      minimumFreeBytes: MIB,
    };
  }
}

/** Lets everything run that needs no timer. */
async function settle(): Promise<void> {
  for (let i = 0; i < 5; i++) await turn();
}

describe('Fill', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  async function pass(ms: number): Promise<void> {
    vi.advanceTimersByTime(ms);
    await settle();
  }

  it('is idle, and done, until it is started', async () => {
    const bench = new Bench(1, 1);
    expect(bench.fill.state.phase).toBe('idle');
    await bench.fill.done;
    expect(bench.asked).toEqual([]);
  });

  it('asks for what is missing, device by device in the order of the blobs, and for nothing else', async () => {
    const bench = new Bench(5, 3);
    bench.present[0]?.add(1).add(3);
    bench.present[1]?.add(2);
    bench.start('eager');
    await settle();
    await bench.answerAll();
    await bench.fill.done;
    expect(bench.asked).toEqual([
      [0, 0],
      [0, 2],
      [0, 4],
      [1, 0],
      [1, 1],
    ]);
    expect(bench.fill.state.phase).toBe('done');
  });

  it('has a bounded number of chunks under way, and asks for the next when one came', async () => {
    const bench = new Bench(1000, 0);
    bench.start('background');
    await settle();
    expect(bench.waiting * bench.compressed).toBe(8 * MIB);
    await bench.answer();
    expect(bench.waiting * bench.compressed).toBe(8 * MIB);
    await bench.answerAll();
    await bench.fill.done;
    expect(bench.asked.length).toBe(1000);
  });

  it('asks for no more while it is paused, and goes on afterwards', async () => {
    const bench = new Bench(100, 0);
    bench.start('background');
    await settle();
    bench.fill.pause();
    expect(bench.fill.state.phase).toBe('paused');
    const before = bench.asked.length;
    await bench.answerAll();
    await pass(3_600_000);
    expect(bench.asked.length).toBe(before);
    bench.fill.resume();
    await settle();
    await bench.answerAll();
    await bench.fill.done;
    expect(bench.asked.length).toBe(100);
  });

  it('keeps to its rate, also when that changes', async () => {
    const bench = new Bench(1000, 0);
    const seconds = async (count: number): Promise<number> => {
      const before = bench.asked.length;
      for (let i = 0; i < 20 * count; i++) {
        await pass(50);
        await bench.answerAll();
      }
      return ((bench.asked.length - before) * bench.compressed) / count;
    };
    bench.start('background', MIB);
    await seconds(1);
    expect(await seconds(10)).toBeCloseTo(MIB, -5);
    bench.fill.setRate(3 * MIB);
    expect(bench.fill.state.bytesPerSecond).toBe(3 * MIB);
    await seconds(1);
    expect(await seconds(8)).toBeCloseTo(3 * MIB, -6);
    bench.fill.setRate(undefined);
    await seconds(1);
    await bench.fill.done;
  });

  it('in the background, tries for ever, less and less often', async () => {
    const bench = new Bench(3, 0);
    bench.start('background');
    await settle();
    const tries: number[] = [];
    for (let i = 0; i < 400; i++) {
      if ((await bench.answer(() => away)) > 0) tries.push(i);
      await pass(1_000);
    }
    expect(bench.fill.state).toMatchObject({ phase: 'retrying', error: away });
    const gaps = tries.slice(1).map((at, i) => at - (tries[i] ?? 0));
    expect(gaps.slice(0, 5)).toEqual([1, 2, 4, 8, 16]);
    expect(Math.max(...gaps)).toBe(60);
    await pass(60_000);
    await bench.answerAll();
    await bench.fill.done;
    expect(bench.fill.state).toMatchObject({ phase: 'done', error: undefined });
  });

  it('in the background, one bad chunk keeps nobody from getting the others', async () => {
    const bench = new Bench(200, 2);
    const bad = (device: number, chunk: number): unknown => (device === 0 && chunk === 7 ? away : undefined);
    bench.start('background');
    await settle();
    await bench.answerAll(bad);
    expect(bench.local.missingBytes).toBe(bench.length);
    await pass(1_000);
    await bench.answerAll();
    await bench.fill.done;
    // Once in the first pass, and twice alone.
    expect(bench.asked.filter(([device, chunk]) => bad(device, chunk)).length).toBe(3);
  });

  it('eager, fails when a chunk cannot be had, and can be started again', async () => {
    const bench = new Bench(300, 0);
    bench.start('eager');
    const { done } = bench.fill;
    await settle();
    await bench.answerAll((_, chunk) => (chunk === 3 ? away : undefined));
    await expect(done).rejects.toBe(away);
    expect(bench.fill.state).toMatchObject({ phase: 'failed', error: away });
    expect(bench.asked.length).toBeLessThan(300);
    bench.start('eager');
    await settle();
    await bench.answerAll();
    await bench.fill.done;
    expect(bench.fill.state.phase).toBe('done');
  });

  it.each([
    ['bound', { maximumBytes: 12 * 128 * KIB - 1 }, '--cache-size'],
    ['disk', { freeBytes: 2 * MIB }, 'disk'],
  ])('eager, asks for nothing when the %s of the cache cannot hold the image', async (_, limits, reason) => {
    const bench = Object.assign(new Bench(10, 2), limits);
    bench.start('eager');
    await expect(bench.fill.done).rejects.toMatchObject({
      code: 'SLUICE_CACHE_FULL',
      message: expect.stringMatching(`the image has 1572864 bytes, the cache at most .*${reason}`) as string,
    });
    expect(bench.asked).toEqual([]);
  });

  it('eager, fails when the cache does not keep what comes', async () => {
    const bench = new Bench(10, 0);
    bench.keeps = false;
    bench.start('eager');
    await settle();
    await bench.answerAll();
    await expect(bench.fill.done).rejects.toMatchObject({ code: 'SLUICE_CACHE_FULL' });
    expect(bench.asked.length).toBe(10);
  });

  it('in the background, stays within the room of the cache, and goes on when the rest fits', async () => {
    const bench = new Bench(1000, 0);
    bench.maximumBytes = 64 * MIB;
    bench.start('background');
    await settle();
    await bench.answerAll();
    const full = bench.asked.length;
    expect(full * bench.length).toBe(60 * MIB);
    expect(bench.fill.state.phase).toBe('full');
    // Somebody else's chunks go: not enough for the rest, so what would be fetched might have to go again.
    bench.maximumBytes = 100 * MIB;
    await pass(60_000);
    expect(bench.asked.length).toBe(full);
    bench.maximumBytes = 200 * MIB;
    await pass(60_000);
    await bench.answerAll();
    await bench.fill.done;
    expect(bench.asked.length).toBe(1000);
  });

  it('in the background, waits for a cache that keeps nothing', async () => {
    const bench = new Bench(10, 0);
    bench.writable = false;
    bench.start('background');
    await settle();
    expect([bench.fill.state.phase, bench.asked.length]).toEqual(['full', 0]);
    bench.writable = true;
    await pass(30_000);
    await bench.answerAll();
    await bench.fill.done;
  });

  it('ends with its mount', async () => {
    const bench = new Bench(100, 0);
    bench.start('background');
    await settle();
    bench.fill.close();
    await expect(bench.fill.done).rejects.toMatchObject({ code: 'SLUICE_CANCELLED' });
    expect(vi.getTimerCount()).toBe(0);
  });
});
