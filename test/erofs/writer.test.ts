import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ByteString } from '../../src/byte-string.ts';
import type { DirectoryInode } from '../../src/erofs/inode.ts';
import { ErofsReader } from '../../src/erofs/reader.ts';
import { writeErofs } from '../../src/erofs/writer.ts';
import { comparable, devices, directory, extent, file, name, options, special, symlink, trees } from './trees.ts';

function written(root: DirectoryInode): ErofsReader {
  return new ErofsReader(writeErofs(root, devices, options));
}

describe('writeErofs()', () => {
  it('writes what ErofsReader.tree() reads back', () => {
    fc.assert(
      fc.property(trees, (root) => {
        expect(comparable(written(root).tree())).toEqual(comparable(root));
      }),
      { numRuns: 150 },
    );
  });

  it('depends on the tree, not on the order of its maps', () => {
    const turned = (inode: DirectoryInode): DirectoryInode => {
      const children = [...inode.children].reverse().map(([key, child]) => {
        const copy = child.kind === 'directory' ? turned(child) : child;
        return [key, copy] as const;
      });
      return { ...inode, xattrs: new Map([...inode.xattrs].reverse()), children: new Map(children) };
    };
    fc.assert(
      fc.property(trees, (root) => {
        const again = writeErofs(turned(root), devices, options);
        expect(Buffer.compare(writeErofs(root, devices, options), again)).toBe(0);
      }),
      { numRuns: 50 },
    );
  });

  it.each([
    ['one index for a contiguous file of 10 MiB', file(10 << 20, [extent(0, 10 << 20)]), 8],
    ['one index each 16 MiB', file((33 << 20) + 1, [extent(0, (33 << 20) + 1, 2)]), 24],
    ['extents that continue each other as one', file(12_288, [extent(0, 4096), extent(4096, 8192, 0, 4096)]), 8],
    ['chunks of 8 KiB for a file cut at 8 KiB', file(40_960, [extent(0, 8192), extent(8192, 32_768, 1)]), 40],
    ['chunks of 4 KiB where a hole starts after one block', file(16_384, [extent(0, 4096)]), 32],
    ['one index for a hole of 8 TiB', file(2 ** 43), 8],
    ['two indexes for a hole of 8 TiB and a byte', file(2 ** 43 + 1), 16],
    ['1024 indexes for the largest file there is', file(Number.MAX_SAFE_INTEGER), 8192],
  ])('spends %s', (_, inode, bytes) => {
    const big = devices.map(({ tag }) => ({ tag, blocks: 2 ** 20 }));
    const reader = new ErofsReader(writeErofs(directory({ inode }), big, options));
    const nid = reader.lookup(reader.rootNid, name('inode')) ?? 0;
    const { union, layout } = reader.inode(nid);
    expect(layout).toBe('chunk');
    expect(Math.ceil(inode.size / 2 ** (12 + (union & 0x1f))) * 8).toBe(bytes);
  });

  it('stores a pair of several inodes once', () => {
    const xattrs = new Map([[name('security.big'), Buffer.alloc(60_000, 1)]]);
    const children = Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`f${i}`, file(0, [], { xattrs })]));
    expect(writeErofs(directory(children), [], options).length).toBeLessThan(120_000);
  });

  it('counts links', () => {
    const linked = file(0);
    const reader = written(directory({ a: linked, b: directory({ c: linked, d: directory() }), e: directory() }));
    const nlink = (nid: number | undefined): number => reader.inode(nid ?? 0).nlink;
    const b = reader.lookup(reader.rootNid, name('b')) ?? 0;
    expect(nlink(reader.rootNid)).toBe(4);
    expect(nlink(b)).toBe(3);
    expect(nlink(reader.lookup(b, name('c')))).toBe(2);
    expect(reader.lookup(b, name('c'))).toBe(reader.lookup(reader.rootNid, name('a')));
    expect(reader.inodeCount).toBe(5);
  });

  it('keeps the root within reach of a 16-bit nid below 65534 devices', () => {
    const many = Array.from({ length: 65_534 }, (_, i) => ({ tag: i.toString(16).padStart(64, '0'), blocks: i }));
    const last = extent(0, 4096, 65_533, 4096);
    const reader = new ErofsReader(writeErofs(directory({ file: file(4096, [last]) }), many, options));
    expect(reader.devices).toEqual(many);
    expect(reader.extents(reader.lookup(reader.rootNid, name('file')) ?? 0)).toEqual([last]);
  });

  const loop = directory();
  loop.children.set('loop' as ByteString, loop);
  const twice = directory();
  const xattr = (key: string, size: number) => file(0, [], { xattrs: new Map([[name(key), new Uint8Array(size)]]) });
  const crowded = new Map(Array.from({ length: 5 }, (_, i) => [name(`user.${i}`), new Uint8Array(65_000)] as const));
  it.each([
    ['a name of 256 bytes', directory({ ['n'.repeat(256)]: file(0) })],
    ['an empty name', directory({ '': file(0) })],
    ['a slash in a name', directory({ 'a/b': file(0) })],
    ['NUL in a name', directory({ 'a\0': file(0) })],
    ['a child called .', directory({ '.': file(0) })],
    ['a child called ..', directory({ '..': directory() })],
    ['a directory in itself', loop],
    ['a directory with two names', directory({ a: twice, b: twice })],
    ['a mode of another type', directory({ a: file(0, [], { mode: 0o040755 }) })],
    ['an empty target', directory({ a: symlink('') })],
    ['a target of 4096 bytes', directory({ a: symlink('x'.repeat(4096)) })],
    ['NUL in a target', directory({ a: symlink('a\0b') })],
    ['an xattr value of 64 KiB', directory({ a: xattr('user.a', 65_536) })],
    ['an xattr name of 256 bytes', directory({ a: xattr(`user.${'n'.repeat(251)}`, 0) })],
    ['an xattr without a name', directory({ a: xattr('', 0) })],
    ['more than 256 KiB of xattrs', directory({ a: file(0, [], { xattrs: crowded }) })],
    ['a device number of 33 bits', directory({ a: special(0o020600, 4096, 0) })],
    ['a second with 10^9 ns', directory({ a: file(0, [], { mtimeNs: 1e9 }) })],
    ['an owner of 33 bits', directory({ a: file(0, [], { uid: 2 ** 32 }) })],
    ['a size that is no integer', directory({ a: file(0.5) })],
    ['an extent past the end of the file', directory({ a: file(100, [extent(0, 4096)]) })],
    ['an extent past the end of the device', directory({ a: file(8192, [extent(0, 8192, 0, 1023 * 4096)]) })],
    ['an extent in no device', directory({ a: file(4096, [extent(0, 4096, 3)]) })],
    ['an extent off the blocks of the file', directory({ a: file(8192, [extent(1, 4096)]) })],
    ['an extent off the blocks of the device', directory({ a: file(4096, [extent(0, 4096, 0, 1)]) })],
    ['a hole inside a block', directory({ a: file(4096, [extent(0, 100)]) })],
    ['overlapping extents', directory({ a: file(8192, [extent(0, 8192), extent(4096, 4096)]) })],
    ['a block of data in 8 TiB', directory({ a: file(2 ** 43, [extent(0, 4096)]) })],
  ])('refuses %s', (_, root) => {
    expect(() => writeErofs(root, devices, options)).toThrow(
      expect.objectContaining({ name: 'FormatError', code: 'SLUICE_EROFS_INVALID' }),
    );
  });

  it.each([
    ['a tag that is no digest', [{ tag: 'x', blocks: 1 }]],
    ['more blocks than 32 bits count', [{ tag: 'a'.repeat(64), blocks: 2 ** 32 }]],
    ['65535 devices', Array.from({ length: 65_535 }, () => ({ tag: 'a'.repeat(64), blocks: 1 }))],
  ])('refuses %s', (_, bad) => {
    expect(() => writeErofs(directory(), bad, options)).toThrow(
      expect.objectContaining({ code: 'SLUICE_EROFS_INVALID' }),
    );
  });
});
