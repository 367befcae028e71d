import fc from 'fast-check';
import { type ByteString, byteString, displayText } from '../../src/byte-string.ts';
import type { TarEntry } from '../../src/tar/reader.ts';
import { type Member, tarEntry, writeTar } from '../tar/archives.ts';
import { content, sha256Hex } from './content.ts';
import type { TreeEntry, TreeSummary } from './tree-summary.ts';

/** One name of a random tree, and what stands there. */
interface RandomNode {
  /** From the root, one unit a byte; empty for the root itself. */
  readonly path: string;
  readonly entry: TarEntry;
  /** The whole file, holes as zeros. */
  readonly content: Buffer;
  /** The path of the name that came first, for another name of a file. */
  readonly linkTo: string | undefined;
}

export type RandomTree = readonly RandomNode[];

type Kind = 'file' | 'sparse' | 'directory' | 'symlink' | 'char' | 'block' | 'fifo' | 'hardlink';

const isName = (name: string): boolean => name !== '.' && name !== '..' && !name.startsWith('.wh.');
const nameBytes = (minLength: number, maxLength: number) =>
  fc
    .uint8Array({ minLength, maxLength })
    .map((bytes) => byteString(bytes.map((byte) => (byte === 0 || byte === 0x2f ? 0x5f : byte))))
    .filter(isName);
const names = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom('a', 'b', 'usr', 'lib', 'näme', '.hidden', ' ', 'a\nb', '-x', '\\', '%41') },
  { weight: 3, arbitrary: nameBytes(1, 12) },
  { weight: 1, arbitrary: nameBytes(255, 255) },
);

/** Around pages, and around what chunks may have at least, on average and at most. */
const edges = [0, 4096, 8192, 32_768, 131_072, 1_048_576]
  .flatMap((size) => [size - 1, size, size + 1])
  .filter((n) => n >= 0);
const sizes = fc.oneof({ weight: 3, arbitrary: fc.nat(9000) }, { weight: 1, arbitrary: fc.constantFrom(...edges) });

const xattrs: fc.Arbitrary<[string, Uint8Array][]> = fc.oneof(
  { weight: 4, arbitrary: fc.constant<[string, Uint8Array][]>([]) },
  {
    weight: 1,
    arbitrary: fc.array(
      fc.tuple(fc.constantFrom('a', 'b.c', 'long'.repeat(50)), fc.uint8Array({ minLength: 1, maxLength: 300 })),
      { maxLength: 3 },
    ),
  },
);

const nodes = fc.record({
  parent: fc.nat(1000),
  name: names,
  kind: fc.constantFrom<Kind>(
    'file',
    'file',
    'file',
    'sparse',
    'directory',
    'directory',
    'symlink',
    'char',
    'block',
    'fifo',
    'hardlink',
  ),
  mode: fc.oneof(fc.constantFrom(0o644, 0o755, 0o4755, 0o1777, 0), fc.nat(0o7777)),
  uid: fc.oneof(fc.constantFrom(0, 1000, 65_536), fc.nat(2 ** 32 - 2)),
  gid: fc.oneof(fc.constantFrom(0, 1000, 65_536), fc.nat(2 ** 32 - 2)),
  mtime: fc.oneof(fc.constantFrom(0, 1_700_000_000, -1), fc.integer({ min: -(2 ** 31), max: 2 ** 33 })),
  mtimeNs: fc.oneof(fc.constant(0), fc.nat(999_999_999)),
  xattrs,
  size: sizes,
  seed: fc.nat(4),
  gaps: fc.array(fc.tuple(fc.nat(20_000), fc.integer({ min: 1, max: 9000 })), { maxLength: 4 }),
  target: fc.oneof(nameBytes(1, 60), fc.constantFrom('../a', '/usr/lib', 'x'.repeat(4095))),
  major: fc.nat(4095),
  minor: fc.nat(2 ** 20 - 1),
});
type Draft = typeof nodes extends fc.Arbitrary<infer Value> ? Value : never;

/** Trees with everything a layer can say; parents come before what they hold. */
export const anyTree: fc.Arbitrary<RandomTree> = fc.array(nodes, { minLength: 1, maxLength: 25 }).map(buildTree);

function buildTree(drafts: readonly Draft[]): RandomTree {
  const root = nodeOf('', { ...(drafts[0] as Draft), kind: 'directory' });
  const tree: RandomNode[] = [root];
  for (const draft of drafts) {
    const directories = tree.filter(({ entry }) => entry.type === 'directory');
    const parent = directories[draft.parent % directories.length]?.path ?? '';
    const path = parent === '' ? draft.name : `${parent}/${draft.name}`;
    if (tree.some((node) => node.path === path)) continue;
    const files = tree.filter(({ entry }) => entry.type === 'file');
    const first = draft.kind === 'hardlink' ? files[draft.seed % files.length] : undefined;
    tree.push(first === undefined ? nodeOf(path, draft) : linkTo(path, first));
  }
  return tree;
}

function nodeOf(path: string, draft: Draft): RandomNode {
  const { kind, uid, gid, mtime, mtimeNs } = draft;
  const type = kind === 'sparse' || kind === 'hardlink' ? 'file' : kind;
  const isDevice = kind === 'char' || kind === 'block';
  const sparse = kind === 'sparse' ? runsOf(draft) : undefined;
  const bytes = type === 'file' ? contentOf(draft, sparse) : Buffer.alloc(0);
  const entry = tarEntry(type === 'directory' ? `${path || '.'}/` : path, type, {
    mode: kind === 'symlink' ? 0o777 : draft.mode,
    uid,
    gid,
    mtime,
    mtimeNs,
    size: bytes.length,
    sparse,
    linkTarget: (kind === 'symlink' ? draft.target : '') as ByteString,
    major: isDevice ? draft.major : 0,
    minor: isDevice ? draft.minor : 0,
    xattrs: xattrsOf(draft, type),
  });
  return { path, entry, content: bytes, linkTo: undefined };
}

/** Another name of `first`, whose attributes its entry repeats. */
function linkTo(path: string, first: RandomNode): RandomNode {
  const link = { type: 'hardlink', path: path as ByteString, linkTarget: first.path as ByteString } as const;
  const entry = { ...first.entry, ...link, size: 0, sparse: undefined };
  return { path, entry, content: Buffer.alloc(0), linkTo: first.path };
}

function xattrsOf({ xattrs }: Draft, type: TarEntry['type']): TarEntry['xattrs'] {
  // The kernel lets nobody read user.* of anything but files and directories.
  const space = type === 'file' || type === 'directory' ? 'user' : 'trusted';
  return new Map(xattrs.map(([name, value]) => [`${space}.${name}` as ByteString, value]));
}

function runsOf({ gaps }: Draft): { offset: number; length: number }[] {
  let end = 0;
  return gaps.map(([gap, length]) => {
    const offset = end + gap;
    end = offset + length;
    return { offset, length };
  });
}

function contentOf({ seed, size }: Draft, sparse: TarEntry['sparse']): Buffer {
  if (sparse === undefined) return Buffer.from(content(seed, size));
  const last = sparse.at(-1);
  const bytes = Buffer.alloc((last === undefined ? 0 : last.offset + last.length) + size);
  for (const { offset, length } of sparse) bytes.set(content(seed, length), offset);
  return bytes;
}

/** The tree as one layer. */
export function treeTar(tree: RandomTree): Uint8Array {
  const members = tree.map(({ entry, content: bytes }): Member => {
    const stored = entry.sparse?.map(({ offset, length }) => bytes.subarray(offset, offset + length));
    return { entry, content: stored === undefined ? bytes : Buffer.concat(stored) };
  });
  return writeTar(members);
}

const letters: Readonly<Record<string, string>> = {
  file: 'f',
  directory: 'd',
  symlink: 'l',
  char: 'c',
  block: 'b',
  fifo: 'p',
};

/** What `summarise()` has to say of the tree wherever it is mounted or unpacked. */
export function expectedSummary(tree: RandomTree): TreeSummary {
  const byPath = new Map(tree.map((node) => [node.path, node]));
  return new Map(
    tree.map((node): [ByteString, TreeEntry] => {
      const inode = byPath.get(node.linkTo ?? node.path) ?? node;
      const group = tree.filter(({ path, linkTo }) => (linkTo ?? path) === inode.path).map(({ path }) => path);
      return [node.path as ByteString, summaryOf(inode, group.sort() as ByteString[])];
    }),
  );
}

function summaryOf({ entry, content: bytes }: RandomNode, group: readonly ByteString[]): TreeEntry {
  const { type, linkTarget, major, minor } = entry;
  const [size, said] = {
    file: [`${bytes.length}`, sha256Hex(bytes)],
    symlink: [`${linkTarget.length}`, displayText(linkTarget)],
    char: ['', `${major}:${minor}`],
    block: ['', `${major}:${minor}`],
  }[type as string] ?? ['', ''];
  const links = linksText(group, group.length);
  return { kind: letters[type] ?? '?', ...attributesText(entry), size: size ?? '', links, content: said ?? '' };
}

/** @param group - the names of an inode in byte order */
export function linksText(group: readonly ByteString[], count: number): string {
  return count > 1 ? `nlink ${count}, found ${group.length} ${displayText(group[0] ?? ('' as ByteString))}` : '';
}

/** Mode, owner, time and xattrs as tree summaries have them. */
export function attributesText(
  inode: Pick<TarEntry, 'mode' | 'uid' | 'gid' | 'mtime' | 'mtimeNs' | 'xattrs'>,
): Pick<TreeEntry, 'mode' | 'owner' | 'mtime' | 'xattrs'> {
  return {
    mode: (inode.mode & 0o7777).toString(8),
    owner: `${inode.uid}:${inode.gid}`,
    mtime: `${BigInt(inode.mtime) * 1_000_000_000n + BigInt(inode.mtimeNs)}`,
    xattrs: Array.from(inode.xattrs, ([name, value]) => `${name}=${Buffer.from(value).toString('hex')}`)
      .sort()
      .join(' '),
  };
}
