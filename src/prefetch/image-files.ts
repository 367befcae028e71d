import type { Bootstrap } from '../bootstrap/bootstrap.ts';
import type { ChunkStore } from '../bootstrap/chunk-store.ts';
import { planRead, type Segment } from '../bootstrap/plan-read.ts';
import type { ByteString } from '../byte-string.ts';
import { S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from '../erofs/inode.ts';
import { SluiceError } from '../errors.ts';
import { RecentChunks } from '../image/recent-chunks.ts';
import { type ResolvedPath, resolvePath } from '../image/resolve-path.ts';

/** A regular file that a prediction is about. */
export interface ImageFile {
  readonly nid: number;
  /** From the image's root with a slash in front, no symbolic link on the way. */
  readonly path: ByteString;
  /** Bytes. */
  readonly size: number;
  /** Whole `st_mode`. */
  readonly mode: number;
  /** Seconds since the epoch. */
  readonly mtime: number;
}

/** What predictions are made from. */
export interface ImageFiles {
  /** The regular file that `path` leads to in a process whose root is the image's; undefined when there is none. */
  find(path: ByteString): ImageFile | undefined;
  /**
   * @param length - what lies behind the end of the file is cut off
   * @returns verified bytes, shared: read only
   * @throws {SluiceError} what the chunks' store throws
   */
  read(file: ImageFile, offset: number, length: number): Promise<Uint8Array>;
}

/** Small reads come from the same few chunks: headers and string tables. Bytes. */
const RECENT_BYTES = 8 * 1024 * 1024;

/** A longer path is none: PATH_MAX of Linux. It bounds the depth of a search. */
const MAXIMUM_PATH = 4096;

/** Stops search paths without end from being remembered. */
const MAXIMUM_DIRECTORIES = 4096;

/** The files of a mounted image. */
export class BootstrapFiles implements ImageFiles {
  readonly #bootstrap: Bootstrap;
  readonly #chunks: RecentChunks;
  readonly #directories = new Map<ByteString, ResolvedPath | undefined>();

  /**
   * @param chunks - read at a priority below demand
   * @param signal - ends every read: they are all of one owner, so those who share a chunk share its end too
   */
  constructor(bootstrap: Bootstrap, chunks: ChunkStore, signal: AbortSignal) {
    this.#bootstrap = bootstrap;
    const ending: ChunkStore = { read: (device, chunk) => chunks.read(device, chunk, signal) };
    this.#chunks = new RecentChunks(ending, RECENT_BYTES);
  }

  find(path: ByteString): ImageFile | undefined {
    if (path.length > MAXIMUM_PATH) return undefined;
    const found = withoutErrors(() => this.#resolve(path));
    if (found === undefined || (found.inode.mode & S_IFMT) !== S_IFREG) return undefined;
    const { nid, size, mode, mtime } = found.inode;
    return { nid, path: `/${found.path}` as ByteString, size, mode, mtime };
  }

  /** As resolvePath(), without an error: most paths that are looked for are not there, nor are their folders. */
  #resolve(path: ByteString): ResolvedPath | undefined {
    const { erofs } = this.#bootstrap;
    const slash = path.lastIndexOf('/');
    const name = path.slice(slash + 1) as ByteString;
    if (slash < 0 || name === '' || name === '.' || name === '..') return resolvePath(erofs, path, 'follow');
    const directory = this.#directory(path.slice(0, slash) as ByteString);
    const nid = directory === undefined ? undefined : erofs.lookup(directory.inode.nid, name);
    if (directory === undefined || nid === undefined) return undefined;
    const inode = erofs.inode(nid);
    if ((inode.mode & S_IFMT) === S_IFLNK) return resolvePath(erofs, path, 'follow');
    return { path: directory.path === '' ? name : (`${directory.path}/${name}` as ByteString), inode };
  }

  #directory(path: ByteString): ResolvedPath | undefined {
    if (this.#directories.has(path)) return this.#directories.get(path);
    const found = withoutErrors(() => this.#resolve(path));
    const directory = found !== undefined && (found.inode.mode & S_IFMT) === S_IFDIR ? found : undefined;
    if (this.#directories.size < MAXIMUM_DIRECTORIES) this.#directories.set(path, directory);
    return directory;
  }

  /** Lets go of what was read. */
  forget(): void {
    this.#chunks.clear();
  }

  async read(file: ImageFile, offset: number, length: number): Promise<Uint8Array> {
    const segments = planRead(this.#bootstrap, file.nid, offset, length);
    const pieces = await Promise.all(segments.map((segment) => this.#readSegment(segment)));
    const [only] = pieces;
    return pieces.length === 1 && only !== undefined ? only : Buffer.concat(pieces);
  }

  async #readSegment(segment: Segment): Promise<Uint8Array> {
    if (segment.kind === 'hole') return new Uint8Array(segment.length);
    if (segment.kind === 'inline') return segment.bytes;
    const chunk = await this.#chunks.read(segment.device, segment.chunk);
    return chunk.subarray(segment.offsetInChunk, segment.offsetInChunk + segment.length);
  }
}

/** Not there, or a tree too broken to say: there is nothing to predict either way. */
function withoutErrors<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch (error) {
    if (error instanceof SluiceError) return undefined;
    throw error;
  }
}
