import { type ByteString, displayText } from '../byte-string.ts';
import type { DirectoryInode, Inode } from '../erofs/inode.ts';
import { FormatError } from '../errors.ts';
import type { LayerEntry } from './layer-entry.ts';
import { walk } from './walk.ts';

/**
 * Turns a tree into the entries of one layer, the opposite of applying it to an empty root: parents before children,
 * names in byte order, a file under its first name and hard links to that for the others. The root comes first, as `.`.
 * @returns entries that share xattrs and extents with the tree
 * @throws {FormatError} SLUICE_TREE_INVALID for a name that begins with `.wh.`, which a layer would read as a whiteout
 */
export function* layerEntries(root: DirectoryInode): Generator<LayerEntry, void, undefined> {
  const firstNames = new Map<Inode, ByteString>();
  for (const { path, inode } of walk(root)) {
    if (/(^|\/)\.wh\.[^/]*$/.test(path)) {
      throw new FormatError(
        'SLUICE_TREE_INVALID',
        `Cannot write layer: the name "${displayText(path)}" would be read as a whiteout`,
      );
    }
    const { mode, uid, gid, mtime, mtimeNs, xattrs } = inode;
    const base = { path: path === '' ? ('.' as ByteString) : path, mode, uid, gid, mtime, mtimeNs, xattrs };
    const target = firstNames.get(inode);
    if (target !== undefined) {
      yield { ...base, kind: 'hardlink', target };
      continue;
    }
    yield ownEntry(base, inode);
    if (inode.kind !== 'directory') firstNames.set(inode, path);
  }
}

type Base = Omit<Extract<LayerEntry, { kind: 'directory' }>, 'kind'>;

function ownEntry(base: Base, inode: Inode): LayerEntry {
  switch (inode.kind) {
    case 'directory':
      return { ...base, kind: 'directory' };
    case 'file':
      return { ...base, kind: 'file', size: inode.size, extents: inode.extents };
    case 'symlink':
      return { ...base, kind: 'symlink', target: inode.target };
    case 'special':
      return { ...base, kind: 'special', major: inode.major, minor: inode.minor };
  }
}
