import type { ByteString } from '../byte-string.ts';
import { type Extent, S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG } from '../erofs/inode.ts';
import { FormatError } from '../errors.ts';
import type { TarEntry, TarEntryType } from '../tar/reader.ts';
import type { DataRun } from '../tar/sparse.ts';
import type { FileEntry, LayerEntry, SpecialEntry } from './layer-entry.ts';

const typeBits: Record<TarEntryType, number> = {
  file: S_IFREG,
  hardlink: S_IFREG,
  directory: S_IFDIR,
  symlink: S_IFLNK,
  char: S_IFCHR,
  block: S_IFBLK,
  fifo: S_IFIFO,
};

/**
 * Turns a tar entry into a layer entry.
 * @param extents - where the file's content was put; ignored for what is no file
 * @returns an entry that shares xattrs and extents with the arguments
 */
export function layerEntryFromTar(entry: TarEntry, extents: readonly Extent[]): LayerEntry {
  const { path, uid, gid, mtime, mtimeNs, xattrs, major, minor, linkTarget } = entry;
  const base = { path, mode: typeBits[entry.type] | entry.mode, uid, gid, mtime, mtimeNs, xattrs };
  switch (entry.type) {
    case 'file':
      return { ...base, kind: 'file', size: entry.size, extents };
    case 'directory':
      return { ...base, kind: 'directory' };
    case 'symlink':
    case 'hardlink':
      return { ...base, kind: entry.type, target: linkTarget };
    default:
      return { ...base, kind: 'special', major, minor };
  }
}

/**
 * Turns a layer entry into a tar entry. A file with holes becomes a sparse one.
 * @throws {FormatError} SLUICE_TREE_INVALID for a socket, which no tar can hold
 */
export function tarEntryFromLayer(entry: LayerEntry): TarEntry {
  const { path, uid, gid, mtime, mtimeNs, xattrs } = entry;
  return {
    path,
    linkTarget: entry.kind === 'symlink' || entry.kind === 'hardlink' ? entry.target : ('' as ByteString),
    type: entry.kind === 'special' ? specialType(entry) : entry.kind,
    mode: entry.mode & ~S_IFMT,
    uid,
    gid,
    size: entry.kind === 'file' ? entry.size : 0,
    mtime,
    mtimeNs,
    major: entry.kind === 'special' ? entry.major : 0,
    minor: entry.kind === 'special' ? entry.minor : 0,
    xattrs,
    sparse: entry.kind === 'file' ? dataRuns(entry) : undefined,
  };
}

function specialType(entry: SpecialEntry): TarEntryType {
  switch (entry.mode & S_IFMT) {
    case S_IFCHR:
      return 'char';
    case S_IFBLK:
      return 'block';
    case S_IFIFO:
      return 'fifo';
    default:
      throw new FormatError('SLUICE_TREE_INVALID', 'Cannot write layer: a tar has no place for sockets');
  }
}

/** The extents without what says where they lie, neighbours joined; `undefined` when there is no hole. */
function dataRuns(file: FileEntry): readonly DataRun[] | undefined {
  const runs: { offset: number; length: number }[] = [];
  for (const { offset, length } of file.extents) {
    const last = runs.at(-1);
    if (last !== undefined && last.offset + last.length === offset) last.length += length;
    else runs.push({ offset, length });
  }
  const first = runs[0] ?? { offset: 0, length: 0 };
  return runs.length <= 1 && first.offset === 0 && first.length === file.size ? undefined : runs;
}
