import type { ByteString } from '../byte-string.ts';

/** File type and permission bits as in `st_mode`: `mode & S_IFMT` is one of these. Source: inode(7). */
export const S_IFMT = 0o170000;
export const S_IFSOCK = 0o140000;
export const S_IFLNK = 0o120000;
export const S_IFREG = 0o100000;
export const S_IFBLK = 0o060000;
export const S_IFDIR = 0o040000;
export const S_IFCHR = 0o020000;
export const S_IFIFO = 0o010000;

/**
 * A run of a regular file that lies in one device. What no extent covers is a hole.
 * All four are bytes; `offset` and `deviceOffset` are multiples of 4096, and so is `length` except in the last extent.
 */
export interface Extent {
  readonly offset: number;
  readonly length: number;
  /** Index into the image's device table, from 0 (EROFS counts from 1). */
  readonly device: number;
  readonly deviceOffset: number;
}

/** What every inode has. Mutable while a tree is built; the EROFS writer only reads it. */
export interface InodeAttributes {
  /** Whole `st_mode`. */
  mode: number;
  /** 32 bits. */
  uid: number;
  gid: number;
  /** Seconds since the epoch, may be negative; the fraction is in `mtimeNs` (0–999,999,999). */
  mtime: number;
  mtimeNs: number;
  /** Full name (`security.capability`) to value. Empty for most inodes: share {@link noXattrs}. */
  xattrs: ReadonlyMap<ByteString, Uint8Array>;
}

export interface DirectoryInode extends InodeAttributes {
  kind: 'directory';
  /** Never holds `.` or `..`. An inode that stands under several names is a hard link. */
  children: Map<ByteString, Inode>;
}

export interface FileInode extends InodeAttributes {
  kind: 'file';
  size: number;
  /** In order of `offset`, not overlapping. */
  extents: readonly Extent[];
}

export interface SymlinkInode extends InodeAttributes {
  kind: 'symlink';
  target: ByteString;
}

/** Character and block devices, fifos and sockets; `mode` says which. */
export interface SpecialInode extends InodeAttributes {
  kind: 'special';
  /** Linux's 32-bit encoding is made from these by the writer; 0 for fifos and sockets. */
  major: number;
  minor: number;
}

/**
 * One file-system object of an image, in memory. Trees share it from the tar reader's output to the EROFS writer's
 * input and back. Link counts are not stored: they follow from the tree.
 */
export type Inode = DirectoryInode | FileInode | SymlinkInode | SpecialInode;

export const noXattrs: ReadonlyMap<ByteString, Uint8Array> = new Map();
