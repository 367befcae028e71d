import { setImmediate as turn } from 'node:timers/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { RegistryError } from '../../src/errors.ts';
import { FetchScheduler } from '../../src/fetch/scheduler.ts';
import { loadZstd } from '../../src/zstd/codec.ts';
import { chunkContent, MemoryBlobSource, type SampleBlob, sampleBlob } from './memory-blob-source.ts';
import { fetchedOf, queueOf } from './support.ts';

let blob: SampleBlob;
let other: SampleBlob;

beforeAll(async () => {
  await loadZstd();
  blob = sampleBlob(600);
  other = sampleBlob(10);
});

const unreachable = (): never => {
  throw new RegistryError('SLUICE_REGISTRY_UNREACHABLE', 'Cannot reach registry: connection reset');
};

/** Far enough apart that each is a request of its own. */
const apart = (count: number): number[] => Array.from({ length: count }, (_, i) => i * 6);

describe('FetchScheduler', () => {
  it('lets images share the fetch of a chunk of the same blob, whatever its place in them', async () => {
    const scheduler = new FetchScheduler();
    const [a, b] = [new MemoryBlobSource([blob]), new MemoryBlobSource([blob, other], 10_000, 'memory:b')];
    const first = fetchedOf([a], { blobs: [blob], scheduler });
    const second = fetchedOf([b], { blobs: [other, blob], scheduler });
    a.hold();
    const reads = [first.background.read(0, 5), second.demand.read(1, 5)];
    await turn();
    a.release();
    const [one, two] = await Promise.all(reads);
    expect(two).toBe(one);
    expect([a.requests.length, b.requests.length]).toEqual([1, 0]);
    expect(first.traffic().demand.chunks).toBe(1);
  });

  it('keeps images apart that cut the same blob differently', async () => {
    const scheduler = new FetchScheduler();
    const source = new MemoryBlobSource([blob]);
    const lying: SampleBlob = { ...other, descriptor: blob.descriptor };
    const good = fetchedOf([source], { blobs: [blob], scheduler });
    const bad = fetchedOf([source], { blobs: [lying], scheduler });
    const [right] = await Promise.all([good.demand.read(0, 3), bad.demand.read(0, 3).catch(() => undefined)]);
    expect(Buffer.compare(right, chunkContent(3))).toBe(0);
    expect(source.requests.length).toBe(2);
  });

  it.each(['fails', 'is closed'])('lets readers try for themselves when the image they joined %s', async (how) => {
    const scheduler = new FetchScheduler();
    const [a, b] = [new MemoryBlobSource([blob]), new MemoryBlobSource([blob], 10_000, 'memory:b')];
    const [first, second] = [a, b].map((source) => fetchedOf([source], { blobs: [blob], scheduler }));
    if (how === 'fails') a.faults.push(unreachable);
    a.hold();
    const own = first!.demand.read(0, 7);
    const joined = second!.demand.read(0, 7);
    await turn();
    if (how === 'is closed') first!.close();
    a.release();
    const code = how === 'fails' ? 'SLUICE_REGISTRY_UNREACHABLE' : 'SLUICE_CANCELLED';
    await expect(own).rejects.toMatchObject({ code });
    expect(Buffer.compare(await joined, chunkContent(7))).toBe(0);
    expect(b.requests.length).toBe(1);
  });

  it('bounds what is under way over all images, and keeps room for demand', async () => {
    const scheduler = new FetchScheduler();
    const sources = Array.from({ length: 12 }, (_, i) => new MemoryBlobSource([blob], 10_000, `memory:${i}`));
    const queues = sources.map((source) => queueOf([source], { blobs: [blob], scheduler }));
    for (const source of sources) source.hold();
    const all = queues.flatMap((queue) => apart(100).map((chunk) => queue.read(0, chunk, undefined, 'prefetch')));
    await turn();
    expect(scheduler.load).toMatchObject({ requests: 24, waiting: { demand: 0, prefetch: 1200 - 24 } });
    all.push(...queues.map((queue) => queue.read(0, 599)));
    await turn();
    expect(scheduler.load.requests).toBe(32);
    expect(sources.filter(({ requests }) => requests.at(-1)?.start === blob.chunks.compressedOffset(599)).length).toBe(
      8,
    );
    for (const source of sources) source.release();
    await Promise.all(all);
    await turn();
    expect(scheduler.load).toMatchObject({ requests: 0, bytes: 0 });
  });

  it('keeps what is under way below 32 MiB, and prefetch below 24', async () => {
    const scheduler = new FetchScheduler();
    const sources = Array.from({ length: 4 }, (_, i) => new MemoryBlobSource([blob], 1 << 20, `memory:${i}`));
    const whole = Array.from({ length: 600 }, (_, i) => i);
    for (const source of sources) source.hold();
    const all = sources.flatMap((source) => {
      const queue = queueOf([source], { blobs: [blob], scheduler });
      return whole.map((chunk) => queue.read(0, chunk, undefined, 'prefetch'));
    });
    await turn();
    expect(scheduler.load.bytes).toBeLessThanOrEqual(24 * 2 ** 20 + 64 * 1024);
    expect(scheduler.load.bytes).toBeGreaterThan(20 * 2 ** 20);
    for (const source of sources) source.release();
    await Promise.all(all);
  });

  it('gives images their turns, however much one of them wants', async () => {
    const scheduler = new FetchScheduler();
    const order: string[] = [];
    const sources = ['greedy', 'modest'].map((name) => new MemoryBlobSource([blob], 10_000, name));
    const [greedy, modest] = sources.map((source) => queueOf([source], { blobs: [blob], scheduler }));
    const ask = (name: string, queue: typeof greedy, chunks: number[]): Promise<unknown>[] =>
      chunks.map((chunk) => queue!.read(0, chunk).then(() => order.push(name)));
    await Promise.all([...ask('greedy', greedy, apart(60)), ...ask('modest', modest, apart(3))]);
    expect(order.lastIndexOf('modest')).toBeLessThan(20);
  });

  it('sends no background while demand is under way on the same link, and little at any time', async () => {
    let time = 0;
    const scheduler = new FetchScheduler(() => time);
    const [near, far] = ['near', 'far'].map((name) => new MemoryBlobSource([blob], 10_000, name));
    const [queue, elsewhere] = [near, far].map((source) => queueOf([source!], { blobs: [blob], scheduler }));
    near!.hold();
    far!.hold();
    const all = [queue!.read(0, 599)];
    await turn();
    for (const chunk of Array.from({ length: 300 }, (_, i) => i)) {
      all.push(queue!.read(0, chunk, undefined, 'background'), elsewhere!.read(0, chunk, undefined, 'background'));
    }
    await turn();
    const bytes = far!.requests.reduce((sum, { start, end }) => sum + end - start, 0);
    expect(bytes).toBeLessThanOrEqual(256 * 1024);
    expect(far!.requests.length).toBe(2);
    // Readers without end must not keep it waiting without end: it had its second.
    expect(near!.requests.length).toBe(2);
    all.push(queue!.read(0, 400));
    await turn();
    expect(near!.requests.length).toBe(3);
    time += 500;
    near!.release();
    far!.release();
    await Promise.all(all);
    expect(scheduler.load.waiting).toEqual({ demand: 0, prefetch: 0, background: 0 });
  });

  it('makes background as urgent as the reader who joins it', async () => {
    const source = new MemoryBlobSource([blob]);
    const chunks = fetchedOf([source], { blobs: [blob] });
    source.hold();
    const filling = apart(90).map((chunk) => chunks.background.read(0, chunk));
    await turn();
    const before = source.requests.length;
    const read = chunks.demand.read(0, 6 * 80);
    await turn();
    expect(source.requests.slice(before).map(({ start }) => start)).toEqual([blob.chunks.compressedOffset(6 * 80)]);
    source.release();
    await Promise.all([read, ...filling]);
    expect(chunks.traffic()).toMatchObject({ demand: { chunks: 1 }, background: { chunks: 89 } });
  });

  it('tells the chunk that is in while the body is stalled behind it', async () => {
    const source = new MemoryBlobSource([blob], 40_000);
    const chunks = fetchedOf([source], { blobs: [blob] });
    let goOn = (): void => undefined;
    source.onPiece = () => new Promise((resolve) => (goOn = resolve));
    const [first, second] = [chunks.demand.read(0, 0), chunks.demand.read(0, 1)];
    expect(Buffer.compare(await first, chunkContent(0))).toBe(0);
    expect(source.requests).toMatchObject([{ done: false }]);
    source.onPiece = undefined;
    goOn();
    expect(Buffer.compare(await second, chunkContent(1))).toBe(0);
  });

  it('counts what came, for whom and from where', async () => {
    const source = new MemoryBlobSource([blob]);
    const chunks = fetchedOf([source], { blobs: [blob] });
    await Promise.all([chunks.demand.read(0, 0), chunks.prefetch.read(0, 50), chunks.prefetch.read(0, 51)]);
    const { bytesPerSecond, ...counted } = chunks.traffic();
    expect(counted).toEqual({
      demand: { chunks: 1, bytes: 32 * 1024 },
      prefetch: { chunks: 2, bytes: 64 * 1024 },
      background: { chunks: 0, bytes: 0 },
      place: 'memory:a',
      queued: { demand: 0, prefetch: 0, background: 0 },
    });
    expect(bytesPerSecond).toBeGreaterThan(10_000);
  });
});
