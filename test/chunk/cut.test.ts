import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type CutChunk, cutFiles } from '../../src/chunk/cut.ts';
import { type CutParameters, defaultCutParameters, paddedSize } from '../../src/chunk/parameters.ts';
import { hash } from '../../src/digest/hash.ts';
import { UsageError } from '../../src/errors.ts';
import { content, sha256Hex } from '../support/content.ts';

const small: CutParameters = { minimum: 8192, average: 32768, maximum: 131072 };

function cut(files: readonly Uint8Array[], parameters = small): CutChunk[] {
  return cutFiles(
    files.map((file) => ({ size: file.length })),
    (file, offset, into) => into.set(files[file]!.subarray(offset, offset + into.length)),
    parameters,
    'sha256',
  );
}

/** What a layer's image is before deduplication, put together the plain way. */
function imageOf(files: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(files.flatMap((file) => [file, Buffer.alloc(paddedSize(file.length) - file.length)]));
}

/** Where each of a row of things ends. */
function ends(lengths: readonly number[]): number[] {
  let end = 0;
  return lengths.map((length) => {
    end += length;
    return end;
  });
}

const hex = (chunks: readonly CutChunk[]): string[] => chunks.map(({ digest }) => Buffer.from(digest).toString('hex'));

/** How many of `after` were already in `before`. */
function kept(before: readonly CutChunk[], after: readonly CutChunk[]): number {
  const known = new Set(hex(before));
  return hex(after).filter((digest) => known.has(digest)).length;
}

const anyFiles = fc
  .array(
    fc.tuple(
      fc.nat(50),
      fc.oneof(
        fc.integer({ min: 0, max: 20_000 }),
        fc.integer({ min: 0, max: 600_000 }),
        fc.constantFrom(0, 1, 4095, 4096, 4097, 32767, 32768, 32769, 131072, 131073, 262144, 262145),
      ),
    ),
    { maxLength: 30 },
  )
  .map((seeds) => seeds.map(([seed, length]) => (seed === 0 ? new Uint8Array(length) : content(seed, length))));

describe('cutFiles()', () => {
  it('gives chunks that joined are the files, padded to pages', () => {
    fc.assert(
      fc.property(anyFiles, (files) => {
        const image = imageOf(files);
        let offset = 0;
        for (const { length, digest } of cut(files)) {
          expect(Buffer.from(digest)).toEqual(Buffer.from(hash('sha256', image.subarray(offset, offset + length))));
          offset += length;
        }
        expect(offset).toBe(image.length);
      }),
      { numRuns: 60 },
    );
  });

  it('cuts whole pages, never above the maximum, and large files never below the minimum', () => {
    fc.assert(
      fc.property(anyFiles, (files) => {
        for (const { length } of cut(files)) {
          expect(length % 4096).toBe(0);
          expect(length).toBeLessThanOrEqual(small.maximum);
        }
        for (const file of files.filter(({ length }) => length >= small.average)) {
          for (const { length } of cut([file])) expect(length).toBeGreaterThanOrEqual(small.minimum);
        }
      }),
      { numRuns: 60 },
    );
  });

  it('cuts a large file the same wherever it lies, and always at both its ends', () => {
    const large = content('large', 700_001);
    const alone = hex(cut([large]));
    const among = hex(cut([content('a', 5000), content('b', 300_000), large, content('c', 9000), large]));
    expect(alone.length).toBeGreaterThan(3);
    expect(among.join(' ').split(alone.join(' ')).length).toBe(3);
  });

  it('cuts a small file by itself only between large ones', () => {
    const files = [content('x', 100_000), content('y', 100), content('z', 100_000)];
    expect(cut(files).map(({ length }) => length)).toContain(4096);
    expect(cut([content('y', 100), content('w', 100)]).map(({ length }) => length)).toEqual([8192]);
  });

  it('cuts runs of small files between files only', () => {
    const files = Array.from({ length: 500 }, (_, i) => content(i, (i * 7919) % small.average));
    const borders = new Set(ends(files.map(({ length }) => paddedSize(length))));
    for (const end of ends(cut(files).map(({ length }) => length))) expect(borders).toContain(end);
  });

  it('cuts where docs/format.md says', () => {
    const files = Array.from({ length: 200 }, (_, i) => content(i, (i * 7919 * 37) % (i % 5 === 0 ? 400_000 : 20_000)));
    const chunks = cut([...files, new Uint8Array(5_000_000), content('end', 200_000)], defaultCutParameters);
    // Both numbers come from a second implementation, in Python, written after the document.
    expect(chunks.length).toBe(115);
    expect(sha256Hex(Buffer.from(chunks.map(({ length }) => length).join()))).toBe(
      '8ab430fd9a82777da1a30df838c59017852470752bde2289e6d8186fded88531',
    );
  });

  it('does not depend on how long the stretch is that it reads at once', () => {
    const file = content('window', 3_000_000);
    const parameters = { minimum: 8192, average: 32768, maximum: 65536 };
    // A maximum that forces no cut leaves the same cuts, but reads in larger stretches.
    const unforced = cut([file], { ...parameters, maximum: 1 << 20 });
    expect(Math.max(...unforced.map(({ length }) => length))).toBeLessThan(parameters.maximum * 4);
    expect(hex(cut([file], { ...parameters, maximum: 1 << 18 }))).toEqual(hex(unforced));
  });

  it.each([
    [
      'a page is inserted into a large file',
      (f: Uint8Array) => [Buffer.concat([f.subarray(0, 40960), content('i', 4096), f.subarray(40960)])],
    ],
    [
      'pages are cut out of a large file',
      (f: Uint8Array) => [Buffer.concat([f.subarray(0, 40960), f.subarray(53248)])],
    ],
    [
      'a byte changes in a large file',
      (f: Uint8Array) => [Buffer.concat([f.subarray(0, 99_999), content('b', 1), f.subarray(100_000)])],
    ],
    ['a large file grows', (f: Uint8Array) => [Buffer.concat([f, content('g', 300_000)])]],
  ])('keeps most chunks when %s', (_, change) => {
    const file = content('shift', 4_000_000);
    const before = cut([file]);
    expect(before.length).toBeGreaterThan(60);
    expect(kept(before, cut(change(file)))).toBeGreaterThanOrEqual(before.length - 6);
  });

  it('keeps most packed chunks when a small file is inserted, removed or changed', () => {
    const files = Array.from({ length: 600 }, (_, i) => content(i, 200 + ((i * 7919) % 12_000)));
    const before = cut(files);
    expect(before.length).toBeGreaterThan(60);
    for (const after of [
      files.toSpliced(50, 0, content('new', 3000)),
      files.toSpliced(50, 1),
      files.with(50, content('new', 3000)),
    ]) {
      expect(kept(before, cut(after))).toBeGreaterThanOrEqual(before.length - 6);
    }
  });

  it('meets the average it is asked for', () => {
    for (const average of [64, 128, 256].map((kib) => kib * 1024)) {
      const { length } = cut([content('mean', 24_000_000)], { minimum: 32768, average, maximum: 1 << 20 });
      expect(24_000_000 / length / average).toBeGreaterThan(0.8);
      expect(24_000_000 / length / average).toBeLessThan(1.35);
    }
  });

  it('reads each byte once, in order, and holds a few megabytes only', () => {
    let next = 0;
    let largest = 0;
    const size = 300_000_123;
    cutFiles(
      [{ size }],
      (_, offset, into) => {
        expect(offset).toBe(next);
        next += into.length;
        largest = Math.max(largest, into.length);
      },
      defaultCutParameters,
      'sha256',
    );
    expect(next).toBe(size);
    expect(largest).toBeLessThanOrEqual(2 * defaultCutParameters.maximum);
  });

  it.each([
    { minimum: 0, average: 4096, maximum: 8192 },
    { minimum: 1000, average: 4096, maximum: 8192 },
    { minimum: 8192, average: 4096, maximum: 16384 },
    { minimum: 8192, average: 8192, maximum: 12288 },
    { minimum: 4096, average: 8192, maximum: 1 << 25 },
    { minimum: Number.NaN, average: 8192, maximum: 1 << 20 },
  ])('refuses %o', (parameters) => {
    expect(() => cut([], parameters)).toThrow(UsageError);
  });
});
