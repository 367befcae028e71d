import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import type { PageRun } from '../../src/bootstrap/page-run.ts';
import { PAGE_SIZE } from '../../src/chunk/parameters.ts';
import { indexFrameLength, parseHotIndex } from '../../src/hot/reader.ts';
import { loadZstd } from '../../src/zstd/codec.ts';
import { has, reportMissing } from '../support/tools.ts';
import { hotImage, pagesOf, run, type SampleHotImage, writeSample } from './sample-hot-blob.ts';

beforeAll(() => loadZstd());
if (!has('zstd')) reportMissing('zstd(1): what it makes of a hot blob is not tested');

const parse = (bytes: Uint8Array, image: SampleHotImage) =>
  parseHotIndex(bytes.subarray(0, indexFrameLength(bytes)), image.devices);

describe('writeHotBlob()', () => {
  it.skipIf(!has('zstd'))('writes what zstd -dc prints as the pages, group by group', async () => {
    const image = await hotImage([100, 300]);
    const { bytes } = await writeSample(image, [run(1, 200, 2), run(0, 7), run(1, 5, 60), run(0, 8)]);
    const groups = parse(bytes, image).groups.map((group) => group.runs);
    expect(groups).toEqual([[run(0, 7), run(1, 5, 13), run(1, 200, 2)], [run(1, 18, 32)], [run(0, 8), run(1, 50, 15)]]);
    const printed = execFileSync('zstd', ['-dc'], { input: bytes, maxBuffer: 2 ** 24 });
    expect(printed.equals(Buffer.concat(groups.flat().map((part) => pagesOf(image, part))))).toBe(true);
  });

  it('writes the same bytes for the same content', async () => {
    const image = await hotImage([40]);
    const [one, two] = [await writeSample(image, [run(0, 3, 9)]), await writeSample(image, [run(0, 3, 9)])];
    expect(Buffer.compare(one.bytes, two.bytes)).toBe(0);
  });

  it('brings each hash block once, before the first page that needs it', async () => {
    const image = await hotImage([300]);
    const { bytes, hashBytes } = await writeSample(image, [run(0, 0, 16), run(0, 20, 32), run(0, 290)]);
    const blocks = parse(bytes, image).groups.map((group) => group.hashBlocks);
    const [top, first, last] = [
      { device: 0, level: 1, index: 0 },
      { device: 0, level: 0, index: 0 },
      { device: 0, level: 0, index: 2 },
    ];
    expect(blocks).toEqual([[top, first], [], [last]]);
    expect(hashBytes).toBe(3 * PAGE_SIZE + 2 * 8);
  });

  it('has every page once, whatever the runs', async () => {
    const image = await hotImage([1, 50, 200]);
    const sizes = [1, 50, 200];
    const runs = fc.array(
      fc
        .nat(2)
        .chain((device) =>
          fc
            .nat(sizes[device]! - 1)
            .chain((page) =>
              fc.integer({ min: 1, max: sizes[device]! - page }).map((pages) => run(device, page, pages)),
            ),
        ),
      { maxLength: 12 },
    );
    await fc.assert(
      fc.asyncProperty(runs, async (wanted) => {
        const { bytes, pages } = await writeSample(image, wanted);
        const index = parse(bytes, image);
        expect(index.size).toBe(bytes.length);
        const names = (parts: readonly PageRun[]): string[] =>
          parts.flatMap(({ device, page, pages: count }) =>
            Array.from({ length: count }, (_, i) => `${device}/${page + i}`),
          );
        const found = names(index.groups.flatMap((group) => group.runs));
        expect(found.length).toBe(pages);
        expect(new Set(found)).toEqual(new Set(names(wanted)));
        expect(new Set(found).size).toBe(found.length);
      }),
      { numRuns: 30 },
    );
  });
});
