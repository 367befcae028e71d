import type { ByteString } from '../byte-string.ts';
import { type Inode, type InodeAttributes, noXattrs, S_IFLNK, S_IFMT } from '../erofs/inode.ts';
import type { HardLinkEntry, LayerEntry } from './layer-entry.ts';
import { invalidTree } from './layer-path.ts';

/** PATH_MAX of Linux without its NUL: what symlink(2) takes. */
const maxTargetBytes = 4095;

const capability = 'security.capability' as ByteString;

/**
 * Makes the inode an entry describes; the entry is not changed and shares nothing with it that changes later.
 * @throws {FormatError} SLUICE_TREE_INVALID for a link target symlink(2) refuses
 */
export function inodeFromEntry(entry: Exclude<LayerEntry, HardLinkEntry>): Inode {
  const attributes = attributesFromEntry(entry);
  switch (entry.kind) {
    case 'directory':
      return { ...attributes, kind: 'directory', children: new Map() };
    case 'file':
      return { ...attributes, kind: 'file', size: entry.size, extents: entry.extents };
    case 'symlink':
      return { ...attributes, kind: 'symlink', mode: S_IFLNK | 0o777, target: checkTarget(entry.target) };
    case 'special':
      return { ...attributes, kind: 'special', major: entry.major, minor: entry.minor };
  }
}

/** The attributes alone: what an entry for a directory that exists changes. */
export function attributesFromEntry(entry: Exclude<LayerEntry, HardLinkEntry>): InodeAttributes {
  const { mode, uid, gid, mtime, mtimeNs } = entry;
  return { mode, uid, gid, mtime, mtimeNs, xattrs: holdableXattrs(entry.xattrs, entry.kind) };
}

/**
 * Changes an inode as containerd does when it makes another name for it: it links, and then sets owner, xattrs, mode and
 * time from the link's own header. Setting the owner makes the kernel drop file capabilities.
 */
export function relinkInode(inode: Inode, entry: HardLinkEntry): void {
  const { mode, uid, gid, mtime, mtimeNs } = entry;
  const isSymlink = inode.kind === 'symlink';
  const xattrs = new Map([...inode.xattrs, ...holdableXattrs(entry.xattrs, inode.kind)]);
  if (!entry.xattrs.has(capability)) xattrs.delete(capability);
  Object.assign(inode, { uid, gid, mtime, mtimeNs, xattrs: xattrs.size === 0 ? noXattrs : xattrs });
  if (!isSymlink) inode.mode = (inode.mode & S_IFMT) | (mode & ~S_IFMT);
}

/**
 * The xattrs Linux lets an inode of this kind have; setxattr(2) refuses the others, and containerd goes on without them.
 * `user.` is for files and directories (xattr(7)), ACLs are for all but symbolic links, and names outside the four
 * namespaces (`com.apple.provenance`) are for nobody.
 */
function holdableXattrs(
  xattrs: ReadonlyMap<ByteString, Uint8Array>,
  kind: Inode['kind'],
): ReadonlyMap<ByteString, Uint8Array> {
  if (xattrs.size === 0) return noXattrs;
  const canHold = (name: ByteString): boolean => {
    if (/^(trusted|security)\../.test(name)) return true;
    if (/^user\../.test(name)) return kind === 'file' || kind === 'directory';
    return /^system\.posix_acl_(access|default)$/.test(name) && kind !== 'symlink';
  };
  return new Map([...xattrs].filter(([name]) => canHold(name)));
}

function checkTarget(target: ByteString): ByteString {
  if (target.length === 0 || target.length > maxTargetBytes) {
    throw invalidTree(`a symbolic link has a target of ${target.length} bytes, 1 to ${maxTargetBytes} are possible`);
  }
  return target;
}
