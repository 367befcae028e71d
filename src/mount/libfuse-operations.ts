import { constants } from 'node:os';
import type { Answer, Stat, Statfs } from 'fuse-native';
import { type ByteString, byteStringFromText, bytesOf } from '../byte-string.ts';
import { NotFoundError, SluiceError } from '../errors.ts';
import type { ImageView } from './image-view.ts';
import type { LibfuseOperations } from './libfuse-session.ts';
import { xattrNames } from './operations/listxattr.ts';
import { readLocal } from './operations/read.ts';
import { imageBlockSize, imageBlocks } from './operations/statfs.ts';

const { EILSEQ, EIO, ENODATA } = constants.errno;
const maximumName = 255;

/** Gets what is not cached. @throws {SluiceError} */
export type ReadMissing = (nid: number, offset: number, length: number) => Promise<readonly Uint8Array[]>;

/**
 * An image as libfuse asks for it: by path, on the main thread. docs/drivers.md lists what does not fit through.
 * @param readMissing - for reads that are not answered from the cache; reports its failures itself
 */
export function libfuseOperations(image: ImageView, readMissing: ReadMissing): LibfuseOperations {
  const { erofs } = image.bootstrap;
  const find = (path: string): number => findPath(image, path);
  return {
    getattr: (path, answer) => reply<[Stat]>(answer, () => [stat(image, find(path))]),
    readdir: (path, answer) =>
      reply<[string[], Stat[]]>(answer, () => {
        const items = [...erofs.readDirectory(find(path))];
        // Mode bits 12 to 15 are the type, in dirent's numbers.
        return [
          items.map(({ name }) => text(name)),
          items.map(({ nid, type }) => ({ ino: image.nodeid(nid), mode: type << 12 })),
        ];
      }),
    readlink: (path, answer) =>
      reply<[string]>(answer, () => {
        const target = erofs.readlink(find(path));
        const decoded = text(target);
        return byteStringFromText(decoded) === target ? [decoded] : -EILSEQ;
      }),
    statfs: (_path, answer) =>
      reply<[Statfs]>(answer, () => [
        {
          bsize: imageBlockSize,
          frsize: imageBlockSize,
          blocks: imageBlocks(image),
          files: erofs.inodeCount,
          namemax: maximumName,
        },
      ]),
    read: (path, _handle, target, length, offset, answer) => {
      void read(image, readMissing, { path, target, length, offset }).then(answer);
    },
    getxattr: (path, name) =>
      attempt(() => {
        const value = erofs.xattrs(find(path)).get(byteStringFromText(name));
        return value === undefined ? -ENODATA : Buffer.from(value);
      }),
    listxattr: (path) => attempt(() => xattrNames(image, find(path))),
  };
}

/** @throws {NotFoundError} SLUICE_PATH_NOT_FOUND */
function findPath({ bootstrap: { erofs } }: ImageView, path: string): number {
  let nid: number | undefined = erofs.rootNid;
  for (const name of path.split('/')) {
    if (name !== '') nid = erofs.lookup(nid, byteStringFromText(name));
    if (nid === undefined) throw new NotFoundError('SLUICE_PATH_NOT_FOUND', `Cannot find "${path}"`);
  }
  return nid;
}

/** Times go through as unsigned milliseconds: before 1970 there are none. */
function stat(image: ImageView, nid: number): Stat {
  const { ino, mode, nlink, uid, gid, rdev, size, blocks, mtime, mtimeNs } = image.attributes(
    image.bootstrap.erofs.inode(nid),
  );
  const time = Math.max(0, mtime * 1000 + Math.floor(mtimeNs / 1e6));
  return {
    ino,
    mode,
    nlink,
    uid,
    gid,
    rdev,
    size,
    blocks,
    blksize: imageBlockSize,
    atime: time,
    mtime: time,
    ctime: time,
  };
}

interface ReadRequest {
  readonly path: string;
  readonly target: Buffer;
  readonly length: number;
  readonly offset: number;
}

/** @returns how many bytes are in `target`, or a negative errno */
async function read(image: ImageView, readMissing: ReadMissing, request: ReadRequest): Promise<number> {
  const { path, target, length, offset } = request;
  try {
    const nid = findPath(image, path);
    const cached = readLocal(image, nid, offset, length, target);
    if (cached !== undefined) return cached;
    let filled = 0;
    for (const bytes of await readMissing(nid, offset, length)) {
      target.set(bytes, filled);
      filled += bytes.length;
    }
    return filled;
  } catch (error) {
    return -errnoOf(error);
  }
}

/** Bytes that are not UTF-8 become U+FFFD: the name is seen, and cannot be opened. */
function text(name: ByteString): string {
  return bytesOf(name).toString('utf8');
}

function errnoOf(error: unknown): number {
  return error instanceof SluiceError ? error.errno : EIO;
}

function attempt<T>(work: () => T | number): T | number {
  try {
    return work();
  } catch (error) {
    return -errnoOf(error);
  }
}

function reply<T extends unknown[]>(answer: Answer<T>, work: () => T | number): void {
  const result = attempt(work);
  if (typeof result === 'number') answer(result);
  else answer(0, ...result);
}
