import { beforeAll, describe, expect, it } from 'vitest';
import { PAGE_SIZE } from '../../src/chunk/parameters.ts';
import { HOT_HEADER_SIZE, SKIPPABLE_HEADER_SIZE } from '../../src/hot/format.ts';
import { HotPages } from '../../src/hot/hot-pages.ts';
import { HotView } from '../../src/hot/hot-view.ts';
import { indexFrameLength, parseHotIndex } from '../../src/hot/reader.ts';
import { streamHot } from '../../src/hot/stream.ts';
import { parseDigest } from '../../src/oci/digest.ts';
import { decompress, loadZstd } from '../../src/zstd/codec.ts';
import { rawFrame, skippableFrame } from '../../src/zstd/frame.ts';
import { hotImage, pagesOf, run, type SampleHotImage, writeSample } from '../hot/sample-hot-blob.ts';
import { fuzz, fuzzAsync } from '../support/fuzz.ts';

const runs = [run(1, 300, 3), run(0, 0, 20), run(1, 0, 10), run(0, 140, 30), run(1, 500)];
let image: SampleHotImage;
let blob: Uint8Array;

beforeAll(async () => {
  await loadZstd();
  image = await hotImage([200, 600]);
  blob = (await writeSample(image, runs)).bytes;
});

describe('any bytes give a value or a SluiceError', () => {
  it('indexFrameLength() and parseHotIndex()', () => {
    fuzz(5_000, blob.slice(0, indexFrameLength(blob)), (bytes) => {
      const length = indexFrameLength(bytes);
      if (length <= bytes.length) parseHotIndex(bytes.subarray(0, length), image.devices);
    });
  });

  it('parseHotIndex(), with a frame that unfolds', () => {
    const start = SKIPPABLE_HEADER_SIZE + HOT_HEADER_SIZE;
    const size = Buffer.from(blob).readUInt32LE(start - 4);
    const index = decompress(blob.slice(start, indexFrameLength(blob)), size);
    const parsed = fuzz(20_000, index, (bytes) => {
      const head = Buffer.from(blob.slice(SKIPPABLE_HEADER_SIZE, start));
      head.writeUInt32LE(bytes.length, HOT_HEADER_SIZE - 4);
      parseHotIndex(skippableFrame(Buffer.concat([head, rawFrame(bytes)])), image.devices);
    });
    expect(parsed, 'some damage makes another index').toBeGreaterThan(0);
  });
});

it('no damage of a hot blob makes a wrong byte readable, and it ends', async () => {
  let good = 0;
  await fuzzAsync(1_000, blob, async (bytes) => {
    const pages = new HotPages(1000);
    const descriptor = { mediaType: 'hot', digest: parseDigest(`sha256:${'0'.repeat(64)}`), size: bytes.length };
    const source = {
      async *readBlob(): AsyncGenerator<Uint8Array> {
        yield bytes;
      },
    };
    const target = Promise.resolve({ pages, devices: image.devices });
    await streamHot({ source, descriptor, signal: new AbortController().signal }, target);
    expect(pages.ended).toBe(true);
    const view = new HotView(pages.descriptor);
    const page = new Uint8Array(PAGE_SIZE);
    for (const device of [0, 1]) {
      for (let number = 0; number < [200, 600][device]!; number++) {
        if (!view.readInto(device, number * PAGE_SIZE, page)) continue;
        good++;
        if (Buffer.compare(page, pagesOf(image, run(device, number))) !== 0) throw new Error(`page ${number} is wrong`);
      }
    }
  });
  expect(good).toBeGreaterThan(0);
});
