import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, expect, it } from 'vitest';
import type { BlobPlace, ByteRange, Descriptor } from '../../src/oci/image.ts';
import { loadZstd } from '../../src/zstd/codec.ts';
import { type SampleBlob, sampleBlob } from './memory-blob-source.ts';
import { fetchedOf } from './support.ts';

/** 100 Mbit/s. */
const bytesPerMs = 12_500;
const roundTripMs = 20;

let blob: SampleBlob;

beforeAll(async () => {
  await loadZstd();
  blob = sampleBlob(1500);
});

/** A place at the other end of a link that carries one byte after the other, whoever asked for it. */
class SlowPlace implements BlobPlace {
  readonly name = 'slow';
  #freeAt = 0;

  async *readBlob(_: Descriptor, range?: ByteRange): AsyncGenerator<Uint8Array> {
    const { start, end } = range ?? { start: 0, end: 0 };
    await sleep(roundTripMs);
    for (let offset = start; offset < end; offset += 16_384) {
      const piece = blob.bytes.subarray(offset, Math.min(end, offset + 16_384));
      const now = performance.now();
      this.#freeAt = Math.max(this.#freeAt, now) + piece.length / bytesPerMs;
      if (this.#freeAt - now > 1) await sleep(this.#freeAt - now);
      yield piece;
    }
  }
}

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0;

it('demand overtakes a background fill: a miss takes at most twice what it takes on an idle link', async () => {
  const chunks = fetchedOf([new SlowPlace()], { blobs: [blob] });
  const miss = async (chunk: number): Promise<number> => {
    const start = performance.now();
    await chunks.demand.read(0, chunk);
    return performance.now() - start;
  };
  const [idle, busy]: number[][] = [[], []];
  for (let i = 0; i < 15; i++) idle!.push(await miss(1490 - 5 * i));
  const end = new AbortController();
  const filling = Array.from({ length: 1200 }, (_, chunk) =>
    chunks.background.read(0, chunk, end.signal).catch(() => undefined),
  );
  await sleep(300);
  for (let i = 0; i < 15; i++) {
    busy!.push(await miss(1400 - 5 * i));
    await sleep(30);
  }
  const { background } = chunks.traffic();
  end.abort();
  await Promise.all(filling);
  expect(median(busy!)).toBeLessThan(2 * median(idle!));
  // And it did go on.
  expect(background.bytes).toBeGreaterThan(2e6);
});
