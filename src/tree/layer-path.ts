import { type ByteString, displayText } from '../byte-string.ts';
import { type DirectoryInode, type Inode, noXattrs, S_IFDIR } from '../erofs/inode.ts';
import { FormatError } from '../errors.ts';

/** NAME_MAX of Linux: no file system could serve a longer one. */
const maxNameBytes = 255;
/** Stops symbolic links that lead in circles. Linux gives up after as many (MAXSYMLINKS), containerd after 255. */
const maxLinks = 40;
/** Stops a path of one-letter names from growing a tree of tens of thousands of levels. PATH_MAX allows 2,048 of them. */
const maxDepth = 2048;

/** A directory of the tree and the way down to it, which is free of symbolic links. */
export interface Place {
  readonly directory: DirectoryInode;
  /** `undefined` for the root. */
  readonly parent: Place | undefined;
  /** In the parent; empty for the root. */
  readonly name: ByteString;
  readonly depth: number;
}

/** What a layer does on the way to where it puts something. */
export interface Trail {
  /** Whether the layer itself put something under that name of the place, or below it. */
  isOwn(parent: Place, name: ByteString): boolean;
  /**
   * Makes a directory, part of the tree on return, where there is none.
   * @param hidden - of a lower layer, and no directory: gives way
   */
  makeDirectory(parent: Place, name: ByteString, hidden: Inode | undefined): DirectoryInode;
}

/** A layer that no file system can be made of. */
export function invalidTree(why: string): FormatError {
  return new FormatError('SLUICE_TREE_INVALID', `Cannot apply layer: ${why}`);
}

/**
 * Cleans a path the way a layer's paths are: `.` and empty names go, `..` takes back the name before it without asking
 * the tree, and none leads above the root.
 */
export function cleanPath(path: ByteString): ByteString[] {
  const names: ByteString[] = [];
  for (const name of path.split('/')) {
    if (name === '..') names.pop();
    else if (name !== '' && name !== '.') names.push(name as ByteString);
  }
  return names;
}

/** An empty root: 0755, root's, of the epoch. What a layer says of `./` replaces that. */
export function emptyDirectory(): DirectoryInode {
  return {
    kind: 'directory',
    mode: S_IFDIR | 0o755,
    uid: 0,
    gid: 0,
    mtime: 0,
    mtimeNs: 0,
    xattrs: noXattrs,
    children: new Map(),
  };
}

export function rootPlace(root: DirectoryInode): Place {
  return { directory: root, parent: undefined, name: '' as ByteString, depth: 0 };
}

/**
 * Goes down from the root through `names`. Symbolic links on the way are followed, within the root: an absolute one
 * starts at the root again, and `..` stops there. Source: containerd continuity, fs.RootPath.
 *
 * With a trail it goes as a layer does that overlayfs lays over the others: what is missing is made, and a link or file
 * of a lower layer is not seen, a directory takes its place.
 * @param trail - without one, `undefined` is returned where there is no directory
 * @throws {FormatError} SLUICE_TREE_INVALID for too many links or directories, and, on a trail, for something of the
 *   same layer that is neither directory nor link
 */
export function descend(root: Place, names: readonly ByteString[]): Place | undefined;
export function descend(root: Place, names: readonly ByteString[], trail: Trail): Place;
export function descend(root: Place, names: readonly ByteString[], trail?: Trail): Place | undefined {
  const ahead = names.toReversed();
  let links = 0;
  let place: Place | undefined = root;
  for (let name = ahead.pop(); name !== undefined && place !== undefined; name = ahead.pop()) {
    const inode: Inode | undefined = place.directory.children.get(name);
    if (inode?.kind === 'symlink' && trail?.isOwn(place, name) !== false) {
      links += 1;
      if (links > maxLinks) throw invalidTree(`${quoted(names)} leads through more than ${maxLinks} symbolic links`);
      if (inode.target.startsWith('/')) place = root;
      ahead.push(...linkNames(inode.target).reverse());
    } else {
      place = step(place, name, inode, trail);
    }
  }
  return place;
}

function step(place: Place, name: ByteString, inode: Inode | undefined, trail?: Trail): Place | undefined {
  if (name === '..') return place.parent ?? place;
  if (inode?.kind === 'directory') return enter(place, name, inode);
  if (trail === undefined) return undefined;
  if (inode !== undefined && trail.isOwn(place, name)) {
    throw invalidTree(`${pathOf(place, name)} is a ${inode.kind}, not a directory`);
  }
  return enter(place, name, trail.makeDirectory(place, checkName(name), inode));
}

function enter(parent: Place, name: ByteString, directory: DirectoryInode): Place {
  const depth = parent.depth + 1;
  if (depth > maxDepth) throw invalidTree(`a path has more than ${maxDepth} directories`);
  return { directory, parent, name, depth };
}

/** Like {@link cleanPath}, except that a relative target may begin with `..`: those go up from where the link stands. */
function linkNames(target: ByteString): ByteString[] {
  const names: ByteString[] = [];
  const absolute = target.startsWith('/');
  for (const name of target.split('/')) {
    if (name === '' || name === '.') continue;
    if (name !== '..' || (names.length === 0 && !absolute) || names.at(-1) === '..') names.push(name as ByteString);
    else names.pop();
  }
  return names;
}

/** @throws {FormatError} SLUICE_TREE_INVALID for a name Linux has no room for */
export function checkName(name: ByteString): ByteString {
  if (name.length > maxNameBytes) {
    throw invalidTree(`a name has ${name.length} bytes, the limit is ${maxNameBytes}: ${quoted([name])}`);
  }
  if (name.includes('\0')) throw invalidTree('a name holds a NUL');
  return name;
}

/** The names from the root to a name in a place. */
export function namesTo(place: Place, name: ByteString): ByteString[] {
  const names: ByteString[] = [name];
  for (let at: Place | undefined = place; at?.parent !== undefined; at = at.parent) names.push(at.name);
  return names.reverse();
}

/** The whole path of a name in a place, quoted for messages. */
export function pathOf(place: Place, name: ByteString): string {
  return quoted(namesTo(place, name));
}

/** For messages: hostile paths are long. */
function quoted(names: readonly ByteString[]): string {
  return `"${displayText(names.join('/').slice(0, 300) as ByteString)}"`;
}
