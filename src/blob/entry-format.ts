import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG, S_IFSOCK } from '../erofs/inode.ts';
import type { LayerEntry } from '../tree/layer-entry.ts';
import type { ColumnReader, ColumnWriter } from './column.ts';

/**
 * The columns of the entries section, in the order in which they are stored. Like stands beside like, which compresses
 * well: a base system's 6,285 entries take 6.2 bytes each, digests apart.
 * What each holds: docs/format.md, "Entries".
 */
export const columnNames = [
  'flags',
  'pathShared',
  'pathLength',
  'path',
  'mode',
  'owner',
  'time',
  'size',
  'extents',
  'targetLength',
  'target',
  'device',
  'xattrs',
  'digest',
] as const;

type ColumnName = (typeof columnNames)[number];
export type ColumnWriters = Readonly<Record<ColumnName, ColumnWriter>>;
export type ColumnReaders = Readonly<Record<ColumnName, ColumnReader>>;

/** The low three bits of an entry's flags: an index into this list. */
export const entryKinds = [
  'file',
  'directory',
  'symlink',
  'hardlink',
  'special',
] as const satisfies LayerEntry['kind'][];

/** The other bits of an entry's flags. */
export const FLAG_SAME_TIME = 0x08;
export const FLAG_NEGATIVE_TIME = 0x10;
export const FLAG_XATTRS = 0x20;
export const FLAG_DIGEST = 0x40;

/** What `mode & S_IFMT` may be for each kind. A hard link's mode is whatever the tar says. */
export const typesOfKind: Readonly<Record<LayerEntry['kind'], readonly number[] | undefined>> = {
  file: [S_IFREG],
  directory: [S_IFDIR],
  symlink: [S_IFLNK],
  hardlink: undefined,
  special: [S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK],
};

/** Folds the sign into the lowest bit: 0, -1, 1, -2 … become 0, 1, 2, 3 … */
export function zigzag(value: number): number {
  return value < 0 ? -value * 2 - 1 : value * 2;
}

export function unzigzag(value: number): number {
  return value % 2 === 1 ? -(value + 1) / 2 : value / 2;
}
