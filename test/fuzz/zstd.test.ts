import { gzipSync } from 'node:zlib';
import { beforeAll, describe, expect, it } from 'vitest';
import { decompressLayer } from '../../src/convert/decompress.ts';
import { frames } from '../../src/fetch/frames.ts';
import { compress, decompressNative, decompressPortable, loadZstd } from '../../src/zstd/codec.ts';
import { readFrameHeader, rleFrame, skippableFrame } from '../../src/zstd/frame.ts';
import { decompressStreamNative, decompressStreamPortable } from '../../src/zstd/stream.ts';
import { fuzz, fuzzAsync } from '../support/fuzz.ts';
import { streamOf } from '../support/image.ts';
import { prose } from '../zstd/samples.ts';

beforeAll(() => loadZstd());

/** What a frame may claim and be taken at its word here; what the callers of `decompress()` claim is capped elsewhere. */
const maximumClaim = 1 << 20;

/** All of a stream that may unfold to anything: memory for one piece at a time, and an end to patience. */
async function drain(stream: AsyncIterable<Uint8Array>): Promise<void> {
  let left = 64 << 20;
  for await (const bytes of stream) {
    left -= bytes.length;
    if (left < 0) return;
  }
}

// node:zlib has zstd since Node 22.15.
const native =
  decompressNative === undefined || decompressStreamNative === undefined
    ? []
    : [['native', decompressNative, decompressStreamNative] as const];
const decoders = [['portable', decompressPortable, decompressStreamPortable] as const, ...native];

describe.each(decoders)('zstd, %s', (_, decompress, decompressStream) => {
  it('decompress() takes any bytes, at the length they claim', () => {
    for (const sample of [compress(prose(5000), 3), rleFrame(7, 300_000), compress(prose(200_000), 19)]) {
      const good = fuzz(2500, sample, (bytes) => {
        const header = readFrameHeader(bytes);
        const claim = header?.kind === 'data' ? (header.contentSize ?? 0) : 0;
        decompress(bytes, Math.min(claim, maximumClaim));
      });
      expect(good).toBeGreaterThan(0);
    }
  });

  it('decompressStream() takes any bytes, in pieces', async () => {
    const sample = Buffer.concat([skippableFrame(prose(100)), compress(prose(3000), 3), rleFrame(1, 200_000)]);
    const cases = decompress === decompressNative ? 2000 : 60;
    const good = await fuzzAsync(cases, sample, (bytes) => drain(decompressStream(streamOf(bytes, 333))));
    expect(good).toBeGreaterThan(0);
  });
});

describe('zstd', () => {
  it('readFrameHeader() takes any bytes', () => {
    fuzz(10_000, compress(prose(5000), 3).subarray(0, 18), (bytes) => {
      readFrameHeader(bytes);
    });
  });
});

describe('decompressLayer()', () => {
  it('takes any bytes, by the format they look like', async () => {
    const good = await fuzzAsync(3000, gzipSync(prose(3000)), (bytes) => drain(decompressLayer(streamOf(bytes, 500))));
    expect(good).toBeGreaterThan(0);
  });
});

describe('frames()', () => {
  it('cuts what lies in any stream, and ends early with it', async () => {
    const places = [
      { offset: 10, length: 90 },
      { offset: 100, length: 1 },
      { offset: 500, length: 1500 },
    ];
    await fuzzAsync(3000, prose(2000), async (bytes) => {
      const lengths: number[] = [];
      for await (const frame of frames(streamOf(bytes, 1 + (bytes[0] ?? 0)), 10, places)) lengths.push(frame.length);
      const whole = places.filter(({ offset, length }) => offset + length <= bytes.length + 10);
      expect(lengths).toEqual(whole.map(({ length }) => length));
    });
  });
});
