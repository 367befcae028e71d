import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ChunkDict } from '../../src/chunk/chunk-dict.ts';
import { ChunkMap } from '../../src/chunk/chunk-map.ts';
import { cutFiles } from '../../src/chunk/cut.ts';
import { type DataRun, deduplicate, fileExtents } from '../../src/chunk/deduplicate.ts';
import { type CutParameters, paddedSize } from '../../src/chunk/parameters.ts';
import type { Extent } from '../../src/erofs/inode.ts';
import { content } from '../support/content.ts';

const parameters: CutParameters = { minimum: 8192, average: 16384, maximum: 65536 };

interface File {
  readonly size: number;
  /** Content of each data run; the rest are holes. */
  readonly runs: readonly { readonly offset: number; readonly bytes: Uint8Array }[];
}

const whole = (bytes: Uint8Array): File => ({ size: bytes.length, runs: [{ offset: 0, bytes }] });
const dataRuns = (file: File): DataRun[] => file.runs.map(({ offset, bytes }) => ({ offset, length: bytes.length }));

/** Layers one above the other, each turned into a device the way the converter does it. */
class Image {
  readonly devices: Uint8Array[] = [];
  readonly #dict = new ChunkDict();

  addLayer(files: readonly File[]): Extent[][] {
    const runs = files.flatMap((file) => file.runs);
    const chunks = cutFiles(
      runs.map(({ bytes }) => ({ size: bytes.length })),
      (run, offset, into) => into.set(runs[run]!.bytes.subarray(offset, offset + into.length)),
      parameters,
      'sha256',
    );
    const image = Buffer.concat(
      runs.map(({ bytes }) => Buffer.concat([bytes, Buffer.alloc(paddedSize(bytes.length) - bytes.length)])),
    );
    const starts = chunks.map((_, i) => chunks.slice(0, i).reduce((sum, { length }) => sum + length, 0));
    const device = this.devices.length;
    const { stored, deviceSize, locations } = deduplicate(chunks, this.#dict, device, []);
    this.devices.push(Buffer.concat(stored.map((i) => image.subarray(starts[i]!, starts[i]! + chunks[i]!.length))));
    expect(this.devices[device]?.length).toBe(deviceSize);
    const map = ChunkMap.fromChunks(stored.map((i) => ({ ...chunks[i]!, compressedLength: 1 })));
    this.#dict.addDevice(device, map);
    return [...fileExtents(files.map(dataRuns), locations)];
  }

  read(extents: readonly Extent[], size: number): Uint8Array {
    const bytes = new Uint8Array(size);
    for (const { offset, length, device, deviceOffset } of extents) {
      bytes.set(this.devices[device]!.subarray(deviceOffset, deviceOffset + length), offset);
    }
    return bytes;
  }
}

function plainRead({ size, runs }: File): Uint8Array {
  const bytes = new Uint8Array(size);
  for (const run of runs) bytes.set(run.bytes, run.offset);
  return bytes;
}

// Few seeds and lengths, so that files and parts of files repeat.
const anyPart = fc
  .tuple(fc.nat(4), fc.constantFrom(1, 3000, 8192, 20_000, 40_960))
  .map(([seed, length]) => (seed === 0 ? new Uint8Array(length) : content(seed, length)));
const anyFile = fc.oneof(
  fc.array(anyPart, { maxLength: 3 }).map((parts) => whole(Buffer.concat(parts))),
  fc.array(fc.tuple(fc.nat(3), anyPart), { maxLength: 3 }).map((parts): File => {
    let end = 0;
    const runs = parts.map(([hole, bytes], i) => {
      const offset = end + hole * 4096;
      const padded = i === parts.length - 1 ? bytes : Buffer.concat([bytes, Buffer.alloc(-bytes.length & 4095)]);
      end = offset + padded.length;
      return { offset, bytes: padded };
    });
    return { size: end + 5000, runs };
  }),
);

describe('deduplicate() and fileExtents()', () => {
  it('let every file of every layer be read back from the devices', () => {
    fc.assert(
      fc.property(fc.array(fc.array(anyFile, { maxLength: 8 }), { maxLength: 4 }), (layers) => {
        const image = new Image();
        for (const files of layers) {
          const extents = image.addLayer(files);
          expect(extents.length).toBe(files.length);
          for (const [i, file] of files.entries()) {
            expect(Buffer.compare(image.read(extents[i]!, file.size), plainRead(file))).toBe(0);
            expectTidy(extents[i]!, file.size);
          }
        }
      }),
      { numRuns: 80 },
    );
  });

  it('store nothing of a layer that repeats one below it', () => {
    const files = [content(1, 100_000), content(2, 700), content(3, 5000), content(4, 50_000)].map(whole);
    const image = new Image();
    const lower = image.addLayer(files);
    expect(image.addLayer(files)).toEqual(lower);
    expect(image.devices[1]?.length).toBe(0);
  });

  it('store a chunk once that a layer has twice', () => {
    const image = new Image();
    const [a, b] = image.addLayer([whole(content(1, 100_000)), whole(content(1, 100_000))]);
    expect(b).toEqual(a);
    expect(image.devices[0]?.length).toBe(paddedSize(100_000));
  });

  it('make one extent of what lies together, and one for each place otherwise', () => {
    const image = new Image();
    const [one] = image.addLayer([whole(content(1, 200_000))]);
    expect(one).toEqual([{ offset: 0, length: 200_000, device: 0, deviceOffset: 0 }]);
    const changed = Buffer.concat([content('new', 4096), content(1, 200_000).subarray(4096)]);
    const [two] = image.addLayer([whole(changed)]);
    expect(two?.map(({ device }) => device)).toEqual([1, 0]);
  });

  it('keep holes out of the extents', () => {
    const image = new Image();
    const runs = [
      { offset: 8192, bytes: content(1, 4096) },
      { offset: 2 ** 40, bytes: content(2, 10) },
    ];
    expect(image.addLayer([{ size: 2 ** 41, runs }])[0]).toEqual([
      { offset: 8192, length: 4096, device: 0, deviceOffset: 0 },
      { offset: 2 ** 40, length: 10, device: 0, deviceOffset: 4096 },
    ]);
  });

  it('do not take a chunk of another length for the same', () => {
    const dict = new ChunkDict();
    dict.add(content(1, 32), { device: 0, deviceOffset: 0, length: 4096 });
    const { stored } = deduplicate([{ digest: content(1, 32), length: 8192 }], dict, 1, []);
    expect(stored).toEqual([0]);
  });

  it('say so when the files are not those that were cut', () => {
    const { locations } = deduplicate([{ digest: content(1, 32), length: 4096 }], new ChunkDict(), 0, []);
    expect(() => [...fileExtents([[{ offset: 0, length: 5000 }]], locations)]).toThrow(RangeError);
  });
});

function expectTidy(extents: readonly Extent[], size: number): void {
  let end = 0;
  for (const [i, { offset, length, deviceOffset }] of extents.entries()) {
    expect(offset).toBeGreaterThanOrEqual(end);
    expect([offset % 4096, deviceOffset % 4096]).toEqual([0, 0]);
    if (i < extents.length - 1) expect(length % 4096).toBe(0);
    end = offset + length;
  }
  expect(end).toBeLessThanOrEqual(size);
}

describe('deduplicate() of a large file', () => {
  const known = { digest: content(1, 32), length: 4096 };
  const fresh = { digest: content(2, 32), length: 4096 };
  const dict = new ChunkDict();
  dict.add(known.digest, { device: 0, deviceOffset: 8192, length: 4096 });

  it.each([
    { fileSize: 64 * 4096, stored: [1], why: 'a 64th of it is known' },
    { fileSize: 64 * 4096 + 1, stored: [0, 1], why: 'less is known: it stays in one piece' },
  ])('stores $stored when $why', ({ fileSize, stored }) => {
    const span = { firstChunk: 0, chunkCount: 2, fileSize };
    expect(deduplicate([known, fresh], dict, 1, [span]).stored).toEqual(stored);
  });

  it('shares what lies around it', () => {
    const span = { firstChunk: 1, chunkCount: 1, fileSize: 2 ** 40 };
    expect(deduplicate([known, known, known], dict, 1, [span]).locations).toEqual([
      { device: 0, deviceOffset: 8192, length: 4096 },
      { device: 1, deviceOffset: 0, length: 4096 },
      { device: 0, deviceOffset: 8192, length: 4096 },
    ]);
  });
});
