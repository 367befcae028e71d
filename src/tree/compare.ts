import { type ByteString, displayText } from '../byte-string.ts';
import { type DirectoryInode, type FileInode, type Inode, S_IFMT } from '../erofs/inode.ts';

/** What two trees can differ in, apart from the content of files. */
export type DifferenceKind =
  | 'presence'
  | 'kind'
  | 'mode'
  | 'uid'
  | 'gid'
  | 'mtime'
  | 'size'
  | 'target'
  | 'device'
  | 'xattrs'
  | 'hard link';

/** One difference, with both sides as text for people. */
export interface Difference {
  /** From the root; empty for the root itself. */
  readonly path: ByteString;
  readonly what: DifferenceKind;
  readonly expected: string;
  readonly actual: string;
}

/** Called for each pair of regular files of one size, once for all their names, in the order of the tree. */
export type FilePairs = (path: ByteString, expected: FileInode, actual: FileInode) => void;

/** The inodes two trees have under one path. */
interface Pair {
  readonly path: ByteString;
  readonly expected: Inode | undefined;
  readonly actual: Inode | undefined;
}

/**
 * Compares two trees: names, attributes, and which names are links to one inode. What stands below a name that only one
 * tree has, or has as something else, is not listed.
 * @param onFilePair - takes the files whose content is left to compare
 * @returns differences in the order of the tree
 */
export function compareTrees(expected: DirectoryInode, actual: DirectoryInode, onFilePair?: FilePairs): Difference[] {
  const differences: Difference[] = [];
  const expectedNames = new FirstNames();
  const actualNames = new FirstNames();
  const ahead: Pair[] = [{ path: '' as ByteString, expected, actual }];
  for (let pair = ahead.pop(); pair !== undefined; pair = ahead.pop()) {
    const { path } = pair;
    const expectedName = expectedNames.of(pair.expected, path);
    const actualName = actualNames.of(pair.actual, path);
    differences.push(...compareFacts(path, factsOf(pair.expected, expectedName), factsOf(pair.actual, actualName)));
    if (pair.expected?.kind === 'directory' && pair.actual?.kind === 'directory') {
      ahead.push(...childPairs(path, pair.expected, pair.actual).reverse());
    } else if (pair.expected?.kind === 'file' && pair.actual?.kind === 'file') {
      const isCompared = expectedName !== path && actualName !== path;
      if (pair.expected.size === pair.actual.size && !isCompared) onFilePair?.(path, pair.expected, pair.actual);
    }
  }
  return differences;
}

/** The name each inode was seen under first: what tells links to one inode from copies of it. */
class FirstNames {
  readonly #names = new Map<Inode, ByteString>();

  of(inode: Inode | undefined, path: ByteString): ByteString {
    if (inode === undefined) return path;
    const name = this.#names.get(inode) ?? path;
    this.#names.set(inode, name);
    return name;
  }
}

function childPairs(path: ByteString, expected: DirectoryInode, actual: DirectoryInode): Pair[] {
  const names = new Set([...expected.children.keys(), ...actual.children.keys()]);
  const prefix = path === '' ? '' : `${path}/`;
  return [...names].sort().map((name) => ({
    path: `${prefix}${name}` as ByteString,
    expected: expected.children.get(name),
    actual: actual.children.get(name),
  }));
}

type Facts = Partial<Record<DifferenceKind, string>>;

function compareFacts(path: ByteString, expected: Facts, actual: Facts): Difference[] {
  const difference = (what: DifferenceKind): Difference[] => {
    const [was, is] = [expected[what] ?? '', actual[what] ?? ''];
    return was === is ? [] : [{ path, what, expected: was, actual: is }];
  };
  const presence = difference('presence');
  if (presence.length > 0) return presence;
  const kind = difference('kind');
  return kind.length > 0 ? kind : attributeKinds.flatMap(difference);
}

const attributeKinds = ['mode', 'uid', 'gid', 'mtime', 'size', 'target', 'device', 'xattrs', 'hard link'] as const;

/** Every attribute as text: what is shown when it differs is what was compared. */
function factsOf(inode: Inode | undefined, firstName: ByteString): Facts {
  if (inode === undefined) return { presence: 'absent' };
  return {
    presence: 'present',
    kind: kindOf(inode),
    mode: `0${(inode.mode & ~S_IFMT).toString(8)}`,
    uid: `${inode.uid}`,
    gid: `${inode.gid}`,
    mtime: `${inode.mtime}+${`${inode.mtimeNs}`.padStart(9, '0')}ns`,
    xattrs: xattrText(inode),
    ...(inode.kind === 'file' ? { size: `${inode.size}` } : {}),
    ...(inode.kind === 'symlink' ? { target: displayText(inode.target) } : {}),
    ...(inode.kind === 'special' ? { device: `${inode.major}:${inode.minor}` } : {}),
    ...(inode.kind === 'directory' ? {} : { 'hard link': displayText(firstName) }),
  };
}

function kindOf(inode: Inode): string {
  return inode.kind === 'special' ? `special ${(inode.mode & S_IFMT).toString(8)}` : inode.kind;
}

function xattrText(inode: Inode): string {
  const sorted = [...inode.xattrs].sort(([a], [b]) => (a < b ? -1 : 1));
  return sorted.map(([name, value]) => `${displayText(name)}=0x${Buffer.from(value).toString('hex')}`).join(' ');
}
