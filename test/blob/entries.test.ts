import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readEntries } from '../../src/blob/entry-reader.ts';
import { writeEntries } from '../../src/blob/entry-writer.ts';
import { byteString } from '../../src/byte-string.ts';
import { noXattrs, S_IFREG } from '../../src/erofs/inode.ts';
import { FormatError } from '../../src/errors.ts';
import type { FileEntry, LayerEntry } from '../../src/tree/layer-entry.ts';
import { content } from '../support/content.ts';
import { anyEntries } from '../support/layer-entries.ts';

const file: FileEntry = {
  kind: 'file',
  path: byteString(Buffer.from('a')),
  mode: S_IFREG | 0o644,
  uid: 0,
  gid: 0,
  mtime: 0,
  mtimeNs: 0,
  xattrs: noXattrs,
  size: 5000,
  extents: [{ offset: 0, length: 5000, device: 0, deviceOffset: 0 }],
};

describe('writeEntries() and readEntries()', () => {
  it('are each other’s inverse', () => {
    fc.assert(
      fc.property(anyEntries, fc.nat(3), (entries, every) => {
        const files = entries.flatMap((entry, i) => (entry.kind === 'file' && i % (every + 1) === 0 ? [i] : []));
        const digests = new Map(files.map((i) => [i, content(i, 32)]));
        const decoded = readEntries(writeEntries(entries, digests));
        expect(decoded.entries).toEqual(entries);
        expect(decoded.fileDigests).toEqual(digests);
        expect(decoded.entries.map(({ xattrs }) => [...xattrs])).toEqual(entries.map(({ xattrs }) => [...xattrs]));
      }),
      { numRuns: 500 },
    );
  });

  it('keep the extremes', () => {
    const extremes: LayerEntry[] = [-(2 ** 53) + 1, -1, 0, 1, 2 ** 53 - 1].map((mtime) => ({ ...file, mtime }));
    extremes.push({ ...file, size: 2 ** 53 - 1, extents: [] });
    extremes.push({ ...file, path: byteString(Buffer.alloc(100_000, 'x')), uid: 2 ** 32 - 1 });
    extremes.push({ ...file, extents: [{ offset: 0, length: 5000, device: 65535, deviceOffset: 2 ** 52 }] });
    const { entries } = readEntries(writeEntries(extremes, new Map()));
    expect(entries).toEqual(extremes);
    expect(Object.is((entries[2] as LayerEntry).mtime, 0)).toBe(true);
  });

  it('take 100,000 entries in well under a second', () => {
    const many = Array.from({ length: 100_000 }, (_, i): LayerEntry => {
      const path = byteString(Buffer.from(`usr/lib/python3/dist-packages/p${i >> 6}/module_${i}.py`));
      const extents = [{ offset: 0, length: 5000, device: 0, deviceOffset: i * 8192 }];
      return { ...file, path, mtime: 1_700_000_000 + (i % 100), extents };
    });
    const started = performance.now();
    const { entries } = readEntries(writeEntries(many, new Map()));
    // 200 ms on the machine this was written on; the bound is for a busy one.
    expect(performance.now() - started).toBeLessThan(2000);
    expect(entries.at(-1)).toEqual(many.at(-1));
  });

  it.each([
    ['an extent off its page', { offset: 1, length: 10, device: 0, deviceOffset: 0 }],
    ['an extent off its page in the device', { offset: 0, length: 10, device: 0, deviceOffset: 100 }],
    ['an extent behind the end', { offset: 0, length: 5001, device: 0, deviceOffset: 0 }],
  ])('writeEntries() refuses %s', (_, extent) => {
    expect(() => writeEntries([{ ...file, extents: [extent] }], new Map())).toThrow(RangeError);
  });

  it.each([
    ['a directory with the mode of a file', { ...file, kind: 'directory' } as const],
    ['a fraction of more than a second', { ...file, mtimeNs: 1_000_000_000 }],
    ['an owner of more than 32 bits', { ...file, uid: 2 ** 32 }],
    ['more than 65,536 devices', { ...file, extents: [{ offset: 0, length: 1, device: 65536, deviceOffset: 0 }] }],
    ['an extent before its device', { ...file, extents: [{ offset: 0, length: 1, device: 0, deviceOffset: -4096 }] }],
    [
      'an extent that ends within a page, but not last',
      {
        ...file,
        size: 10_000,
        extents: [
          { offset: 0, length: 5000, device: 0, deviceOffset: 0 },
          { offset: 8192, length: 100, device: 0, deviceOffset: 0 },
        ],
      },
    ],
    ['an extent of no bytes', { ...file, extents: [{ offset: 0, length: 0, device: 0, deviceOffset: 0 }] }],
  ])('readEntries() refuses %s', (_, entry) => {
    expect(() => readEntries(writeEntries([entry as LayerEntry], new Map()))).toThrow(FormatError);
  });

  it('readEntries() refuses paths that unfold to more than memory holds', () => {
    const long = byteString(Buffer.alloc(1 << 20, 'x'));
    const entries = Array.from({ length: 300 }, (): LayerEntry => ({ ...file, path: long, extents: [], size: 0 }));
    expect(() => readEntries(writeEntries(entries, new Map()))).toThrow(/paths of more than/);
  });

  it('readEntries() refuses what is cut short or too long', () => {
    const bytes = writeEntries([file], new Map([[0, content(0, 32)]]));
    for (let length = 0; length < bytes.length; length++) {
      expect(() => readEntries(bytes.subarray(0, length))).toThrow(FormatError);
    }
    expect(() => readEntries(Buffer.concat([bytes, Buffer.alloc(1)]))).toThrow(/left over/);
  });
});
