import fc from 'fast-check';
import { type ByteString, byteString, byteStringFromText } from '../../src/byte-string.ts';
import { BLOCK_SIZE } from '../../src/erofs/format.ts';
import {
  type DirectoryInode,
  type Extent,
  type FileInode,
  type Inode,
  noXattrs,
  type SpecialInode,
  type SymlinkInode,
} from '../../src/erofs/inode.ts';
import type { DeviceSlot } from '../../src/erofs/superblock.ts';

export const name = byteStringFromText;
export const options = { buildTime: 1_700_000_000, uuid: new Uint8Array(16).fill(7) };
/** Three devices of 4 MiB. */
export const devices: readonly DeviceSlot[] = ['a', 'b', 'c'].map((digit) => ({ tag: digit.repeat(64), blocks: 1024 }));

const base = { uid: 0, gid: 0, mtime: 1_600_000_000, mtimeNs: 0, xattrs: noXattrs };

export function directory(children: Readonly<Record<string, Inode>> = {}, rest: Partial<DirectoryInode> = {}) {
  const named = new Map(Object.entries(children).map(([key, inode]) => [key as ByteString, inode]));
  return { kind: 'directory', ...base, mode: 0o040755, children: named, ...rest } satisfies DirectoryInode;
}

export function file(size: number, extents: readonly Extent[] = [], rest: Partial<FileInode> = {}): FileInode {
  return { kind: 'file', ...base, mode: 0o100644, size, extents, ...rest };
}

export function symlink(target: string, rest: Partial<SymlinkInode> = {}): SymlinkInode {
  return { kind: 'symlink', ...base, mode: 0o120777, target: target as ByteString, ...rest };
}

export function special(mode: number, major = 0, minor = 0): SpecialInode {
  return { kind: 'special', ...base, mode, major, minor };
}

export function extent(offset: number, length: number, device = 0, deviceOffset = 0): Extent {
  return { offset, length, device, deviceOffset };
}

/** `user:1000:r--` on rw-r-----: what the kernel accepts as an ACL. Source: posix_acl_xattr.h. */
const accessList = Buffer.from(
  '0200000001000600ffffffff02000400e803000004000400ffffffff10000400ffffffff20000000ffffffff',
  'hex',
);

/** Something of everything, always the same. */
export function fixedTree(): DirectoryInode {
  const linked = file(5000, [extent(0, 5000, 1, 8192)], { uid: 100_000, gid: 4_000_000_000, mtime: -1, mtimeNs: 5e8 });
  const shared = new Map([[name('user.origin'), Buffer.from('somewhere')]]);
  return directory({
    bin: directory(
      { linked, tool: file(100, [extent(0, 100)], { mode: 0o104755, xattrs: shared }) },
      { xattrs: shared },
    ),
    device: special(0o020666, 259, 0x12345),
    empty: file(0),
    fifo: special(0o010600),
    hole: file(2 ** 44 + 1),
    link: symlink('bin/linked'),
    linked,
    long: symlink('x/'.repeat(2040)),
    many: directory(
      Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`entry-with-a-long-name-${i}`, file(i)])),
    ),
    stitched: file(40_960, [extent(0, 8192, 2, 4096), extent(16_384, 20_480, 0, 65_536), extent(36_864, 4096, 1)]),
    'xattrs\xff': file(1, [extent(0, 1, 0, 4096)], {
      xattrs: new Map([
        [name('security.other'), Buffer.alloc(5000, 'v')],
        [name('system.nfs4_acl'), Buffer.from([1])],
        [name('system.posix_acl_access'), accessList],
        [name('trusted.empty'), Buffer.alloc(0)],
      ]),
    }),
  });
}

/** One name of a tree, for comparison. */
export interface TreeRecord {
  readonly path: string;
  /** The first path of the same inode. */
  readonly first: string;
  readonly inode: Inode;
  readonly nlink: number;
}

/** Every name below `root`, sorted by path; what a tree means, apart from how its maps are ordered. */
export function recordsOf(root: DirectoryInode): TreeRecord[] {
  const names: [path: string, inode: Inode][] = [];
  const open: [path: string, inode: Inode][] = [['', root]];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const [path, inode] = next;
    names.push(next);
    if (inode.kind === 'directory') {
      for (const [key, child] of inode.children) open.push([`${path}/${key}`, child]);
    }
  }
  names.sort(([a], [b]) => (a < b ? -1 : 1));
  const first = new Map<Inode, string>();
  const links = new Map<Inode, number>();
  for (const [path, inode] of names) {
    if (!first.has(inode)) first.set(inode, path);
    links.set(inode, (links.get(inode) ?? 0) + 1);
  }
  return names.map(([path, inode]) => {
    const below = inode.kind === 'directory' ? [...inode.children.values()] : [];
    const folders = below.filter(({ kind }) => kind === 'directory').length;
    const nlink = inode.kind === 'directory' ? 2 + folders : (links.get(inode) ?? 0);
    return { path, first: first.get(inode) ?? '', inode, nlink };
  });
}

/** The records with everything that two equal trees agree in, and nothing else. */
export function comparable(root: DirectoryInode): unknown[] {
  return recordsOf(root).map(({ path, first, inode }) => {
    const xattrs = [...inode.xattrs].map(([key, value]) => `${key}=${Buffer.from(value).toString('hex')}`).sort();
    const rest = inode.kind === 'directory' ? { children: undefined } : {};
    const extents = inode.kind === 'file' ? { extents: blocksOf(inode) } : {};
    return { path, first, ...inode, xattrs, ...rest, ...extents };
  });
}

/** Each block of data and where it lies: the same however the runs are cut. */
function blocksOf({ extents }: FileInode): string[] {
  return extents.flatMap(({ offset, length, device, deviceOffset }) =>
    Array.from({ length: Math.ceil(length / BLOCK_SIZE) }, (_, i) => {
      const bytes = Math.min(BLOCK_SIZE, length - i * BLOCK_SIZE);
      return `${offset / BLOCK_SIZE + i}: ${bytes} bytes of ${device} at ${deviceOffset / BLOCK_SIZE + i}`;
    }),
  );
}

const byteNames = fc
  .oneof(
    { arbitrary: fc.uint8Array({ minLength: 1, maxLength: 12 }), weight: 6 },
    { arbitrary: fc.uint8Array({ minLength: 250, maxLength: 255 }), weight: 1 },
  )
  .map((bytes) => byteString(bytes.map((byte) => (byte === 0 || byte === 0x2f ? 0x2d : byte))))
  .filter((key) => key !== '.' && key !== '..');

const xattrNames = fc.oneof(
  fc.constantFrom('user.a', 'user.b', 'trusted.a', 'security.other', 'system.unknown', 'other'),
  fc.stringMatching(/^user\.[a-z]{1,200}$/),
);
const xattrMaps = fc.oneof(
  { arbitrary: fc.constant(noXattrs), weight: 3 },
  {
    arbitrary: fc
      .array(fc.tuple(xattrNames, fc.oneof(fc.uint8Array({ maxLength: 40 }), fc.constant(new Uint8Array(4000)))), {
        maxLength: 4,
      })
      .map((pairs) => new Map(pairs.map(([key, value]) => [key as ByteString, value]))),
    weight: 1,
  },
  { arbitrary: fc.constant(new Map([[name('system.posix_acl_access'), accessList]])), weight: 1 },
);

const owners = fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0xfffffffe }));
const attributes = fc.record({
  uid: owners,
  gid: owners,
  mtime: fc.oneof(fc.constant(1_600_000_000), fc.integer({ min: -(2 ** 40), max: 2 ** 40 })),
  mtimeNs: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 999_999_999 })),
  xattrs: xattrMaps,
});
const permissions = fc.integer({ min: 0, max: 0o7777 });

/** Runs of blocks with holes between them, and the bytes that the last block lacks. */
const contents = fc
  .record({
    runs: fc.array(
      fc.record({
        hole: fc.oneof(fc.constant(0), fc.constantFrom(1, 2, 3, 7, 8, 4096, 2 ** 12 + 1)),
        blocks: fc.constantFrom(1, 2, 3, 4, 8, 16, 300),
        device: fc.integer({ min: 0, max: 2 }),
        place: fc.oneof(fc.integer({ min: 0, max: 700 }), fc.constant('where the last run ended' as const)),
      }),
      { maxLength: 4 },
    ),
    cut: fc.constantFrom(0, 1, 4095),
    tail: fc.constantFrom(0, 0, 1, 4096, 100_000),
  })
  .map(({ runs, cut, tail }) => {
    const extents: Extent[] = [];
    let end = 0;
    for (const { hole, blocks, device, place } of runs) {
      const offset = end + hole * BLOCK_SIZE;
      const last = extents.at(-1);
      const after = last === undefined ? 0 : (last.deviceOffset + last.length) / BLOCK_SIZE;
      const start = typeof place === 'number' ? place : after % 700;
      extents.push(extent(offset, blocks * BLOCK_SIZE, device, start * BLOCK_SIZE));
      end = offset + blocks * BLOCK_SIZE;
    }
    const last = extents.at(-1);
    if (last === undefined || tail > 0) return { size: end + tail, extents };
    extents[extents.length - 1] = { ...last, length: last.length - cut };
    return { size: end - cut, extents };
  });

const targets = fc
  .oneof(fc.uint8Array({ minLength: 1, maxLength: 30 }), fc.uint8Array({ minLength: 3900, maxLength: 4095 }))
  .map((bytes) => byteString(bytes.map((byte) => byte || 1)));
const specials = fc.oneof(
  fc.record({ type: fc.constantFrom(0o010000, 0o140000), major: fc.constant(0), minor: fc.constant(0) }),
  fc.record({
    type: fc.constantFrom(0o020000, 0o060000),
    major: fc.integer({ min: 0, max: 4095 }),
    minor: fc.integer({ min: 0, max: 2 ** 20 - 1 }),
  }),
);

const leaves: fc.Arbitrary<Inode> = fc.oneof(
  fc.tuple(attributes, permissions, contents).map(([rest, mode, { size, extents }]): Inode => {
    return { kind: 'file', ...rest, mode: 0o100000 | mode, size, extents };
  }),
  fc.tuple(attributes, targets).map(([rest, target]): Inode => {
    return { kind: 'symlink', ...rest, mode: 0o120777, target };
  }),
  fc.tuple(attributes, permissions, specials).map(([rest, mode, { type, major, minor }]): Inode => {
    return { kind: 'special', ...rest, mode: type | mode, major, minor };
  }),
);

const folders = fc.letrec<{ folder: DirectoryInode; child: Inode }>((tie) => ({
  child: fc.oneof({ depthSize: 'small', withCrossShrink: true }, leaves, tie('folder')),
  folder: fc
    .tuple(attributes, permissions, fc.array(fc.tuple(byteNames, tie('child')), { maxLength: 8, depthIdentifier: 'd' }))
    .map(([rest, mode, children]): DirectoryInode => {
      return { kind: 'directory', ...rest, mode: 0o040000 | mode, children: new Map(children) };
    }),
})).folder;

/** Any tree, a few of its files under second names. */
export const trees: fc.Arbitrary<DirectoryInode> = fc
  .tuple(folders, fc.array(fc.tuple(fc.nat(), fc.nat(), byteNames), { maxLength: 4 }))
  .map(([root, links]) => {
    for (const [from, to, key] of links) {
      const inodes = recordsOf(root).map(({ inode }) => inode);
      const parents = inodes.filter((inode) => inode.kind === 'directory');
      const others = inodes.filter((inode) => inode.kind !== 'directory');
      const parent = parents[to % parents.length];
      const other = others[from % others.length];
      if (other !== undefined && parent !== undefined && !parent.children.has(key)) parent.children.set(key, other);
    }
    return root;
  });
