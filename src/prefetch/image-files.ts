import type { Bootstrap } from '../bootstrap/bootstrap.ts';
import type { ChunkStore } from '../bootstrap/chunk-store.ts';
import { planRead, type Segment } from '../bootstrap/plan-read.ts';
import type { ByteString } from '../byte-string.ts';
import { S_IFMT, S_IFREG } from '../erofs/inode.ts';
import { SluiceError } from '../errors.ts';
import { RecentChunks } from '../image/recent-chunks.ts';
import { resolvePath } from '../image/resolve-path.ts';

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

/** The files of a mounted image. */
export class BootstrapFiles implements ImageFiles {
  readonly #bootstrap: Bootstrap;
  readonly #chunks: ChunkStore;
  readonly #signal: AbortSignal;

  /** @param chunks - read at a priority below demand */
  constructor(bootstrap: Bootstrap, chunks: ChunkStore, signal: AbortSignal) {
    this.#bootstrap = bootstrap;
    this.#chunks = new RecentChunks(chunks, RECENT_BYTES);
    this.#signal = signal;
  }

  find(path: ByteString): ImageFile | undefined {
    try {
      const { path: resolved, inode } = resolvePath(this.#bootstrap.erofs, path, 'follow');
      const { nid, size, mode, mtime } = inode;
      return (mode & S_IFMT) === S_IFREG ? { nid, path: `/${resolved}` as ByteString, size, mode, mtime } : undefined;
    } catch (error) {
      // Not there, or a tree too broken to say: there is nothing to predict either way.
      if (error instanceof SluiceError) return undefined;
      throw error;
    }
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
    const chunk = await this.#chunks.read(segment.device, segment.chunk, this.#signal);
    return chunk.subarray(segment.offsetInChunk, segment.offsetInChunk + segment.length);
  }
}
