import type { ByteString } from '../byte-string.ts';
import type { DirectoryInode, Inode } from '../erofs/inode.ts';

/** One name of the tree. */
export interface TreePath {
  /** From the root, without a slash at either end; empty for the root itself. */
  readonly path: ByteString;
  readonly inode: Inode;
}

/** The children of a directory in byte order of their names. */
function sortedChildren(directory: DirectoryInode): [ByteString, Inode][] {
  return [...directory.children].sort(([a], [b]) => (a < b ? -1 : 1));
}

/**
 * Walks a tree depth first, each directory before its children, those in byte order of their names. A hard link comes
 * once for each of its names. Does not recurse: depth costs memory, not stack.
 */
export function* walk(root: DirectoryInode): Generator<TreePath, void, undefined> {
  const ahead: TreePath[] = [{ path: '' as ByteString, inode: root }];
  for (let next = ahead.pop(); next !== undefined; next = ahead.pop()) {
    yield next;
    if (next.inode.kind !== 'directory') continue;
    const prefix = next.path === '' ? '' : `${next.path}/`;
    for (const [name, inode] of sortedChildren(next.inode).reverse()) {
      ahead.push({ path: `${prefix}${name}` as ByteString, inode });
    }
  }
}

/** Link counts as stat(2) has them: names of a file; of a directory 2 and one for each subdirectory. */
export function countLinks(root: DirectoryInode): Map<Inode, number> {
  const counts = new Map<Inode, number>();
  for (const { inode } of walk(root)) {
    let links = 1;
    if (inode.kind === 'directory') {
      links = 2;
      for (const child of inode.children.values()) if (child.kind === 'directory') links++;
    }
    counts.set(inode, (counts.get(inode) ?? 0) + links);
  }
  return counts;
}
