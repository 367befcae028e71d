import { type ByteString, displayText } from '../byte-string.ts';
import { S_IFDIR, S_IFLNK, S_IFMT } from '../erofs/inode.ts';
import type { ErofsInode } from '../erofs/inode-reader.ts';
import type { ErofsReader } from '../erofs/reader.ts';
import { FormatError } from '../errors.ts';
import { resolvePath } from './resolve-path.ts';

/** One name of a listing. */
export interface ListedFile {
  readonly name: ByteString;
  /** From the image's root; empty for the root. */
  readonly path: ByteString;
  readonly inode: ErofsInode;
  /** Of a symbolic link. */
  readonly target: ByteString | undefined;
}

/** The names of one directory in byte order; or one file that was asked for by itself, and `directory` is undefined. */
export interface Listing {
  readonly directory: ByteString | undefined;
  readonly files: readonly ListedFile[];
}

/**
 * Lists a directory, and with `recursive` every one below it, each before those it holds, as ls(1) does. Anything but a
 * directory is listed by itself; a symbolic link too, unless `path` ends in a slash.
 *
 * @throws {NotFoundError} SLUICE_PATH_NOT_FOUND
 * @throws {FormatError} SLUICE_EROFS_*; SLUICE_EROFS_INVALID when a directory stands in two places, maybe in itself
 */
export function* listPath(erofs: ErofsReader, path: ByteString, recursive: boolean): Generator<Listing> {
  const start = resolvePath(erofs, path, 'keep');
  if (!isDirectory(start.inode)) {
    yield { directory: undefined, files: [listedFile(erofs, path, start.path, start.inode)] };
    return;
  }
  const seen = new Set<number>();
  const ahead = [start];
  for (let next = ahead.pop(); next !== undefined; next = ahead.pop()) {
    const { nid } = next.inode;
    if (seen.has(nid)) {
      const shown = displayText(next.path);
      throw new FormatError('SLUICE_EROFS_INVALID', `Cannot list "${shown}": this directory stands elsewhere too`);
    }
    seen.add(nid);
    const files = [...filesOf(erofs, next.path, nid)];
    yield { directory: next.path, files };
    if (recursive) ahead.push(...files.filter(({ inode }) => isDirectory(inode)).reverse());
  }
}

function* filesOf(erofs: ErofsReader, directory: ByteString, nid: number): Generator<ListedFile> {
  const prefix = directory === '' ? '' : `${directory}/`;
  for (const item of erofs.readDirectory(nid)) {
    if (item.name === '.' || item.name === '..') continue;
    yield listedFile(erofs, item.name, `${prefix}${item.name}` as ByteString, erofs.inode(item.nid));
  }
}

function listedFile(erofs: ErofsReader, name: ByteString, path: ByteString, inode: ErofsInode): ListedFile {
  const target = (inode.mode & S_IFMT) === S_IFLNK ? erofs.readlink(inode.nid) : undefined;
  return { name, path, inode, target };
}

function isDirectory(inode: ErofsInode): boolean {
  return (inode.mode & S_IFMT) === S_IFDIR;
}
