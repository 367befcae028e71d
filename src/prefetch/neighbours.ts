import type { Bootstrap } from '../bootstrap/bootstrap.ts';
import { planRead } from '../bootstrap/plan-read.ts';
import { S_IFMT, S_IFREG } from '../erofs/inode.ts';
import type { FileIndex } from './file-index.ts';
import type { ChunkPlace, PrefetchQueue } from './prefetch-queue.ts';
import { Usage, type UsedDevice } from './usage.ts';

/** A larger file is no neighbour: reading ahead within it is the kernel's business. Bytes. */
const SMALL_FILE = 256 * 1024;

/** A directory whose missing chunks come to no more is fetched as a whole. Compressed bytes, about a link's round trip. */
const SMALL_DIRECTORY = 128 * 1024;

/** Misses in a larger directory before its other files are expected to follow. */
const USUAL_MISSES = 3;

/** Chunks after the one that was missed, in the directory's order. */
const CHUNKS_AHEAD = 2;

/** Neighbours that nobody read yet may come to this much, and to this share of what was missed. Compressed bytes. */
const FREE_CREDIT = 256 * 1024;
const CREDIT_SHARE = 0.1;

/** Stops a directory of a million files from being listed at every miss. */
const MAXIMUM_FILES = 4096;

interface Directory {
  /** Chunks of its small files, in its order. */
  readonly chunks: readonly ChunkPlace[];
  misses: number;
}

/**
 * Expects the other small files of a directory in which several were missed: modules of an interpreter, plugins, parts
 * of a configuration. They pay for themselves: how many may be wrong depends on how much is read.
 */
export class Neighbours {
  readonly #bootstrap: Bootstrap;
  readonly #index: FileIndex;
  readonly #queue: PrefetchQueue;
  readonly #usage: Usage;
  readonly #directories = new Map<number, Directory>();
  #addedBytes = 0;
  #missedBytes = 0;

  constructor(bootstrap: Bootstrap, index: FileIndex, queue: PrefetchQueue, devices: readonly UsedDevice[]) {
    this.#bootstrap = bootstrap;
    this.#index = index;
    this.#queue = queue;
    this.#usage = new Usage(devices);
  }

  /** @param missed - the chunks of `nid` that a reader waits for */
  missed(nid: number, missed: readonly ChunkPlace[]): void {
    for (const place of missed) this.#missedBytes += this.#cost(place);
    const parent = this.#index.directoryOf(nid);
    const last = missed.at(-1);
    if (parent === undefined || last === undefined || this.#bootstrap.erofs.inode(nid).size > SMALL_FILE) return;
    const directory = this.#directories.get(parent) ?? { chunks: this.#smallFiles(parent), misses: 0 };
    this.#directories.set(parent, directory);
    directory.misses++;
    this.#expect(this.#follow(directory, last));
  }

  #follow({ chunks, misses }: Directory, { device, chunk }: ChunkPlace): ChunkPlace[] {
    const missing = chunks.filter((place) => !this.#queue.has(place));
    if (missing.reduce((sum, place) => sum + this.#cost(place), 0) <= SMALL_DIRECTORY) return missing;
    if (misses < USUAL_MISSES) return [];
    const at = chunks.findIndex((place) => place.device === device && place.chunk === chunk);
    return chunks.slice(at + 1, at + 1 + CHUNKS_AHEAD).filter((place) => !this.#queue.has(place));
  }

  #expect(places: readonly ChunkPlace[]): void {
    let credit = FREE_CREDIT + CREDIT_SHARE * this.#missedBytes - (this.#addedBytes - this.#usage.usedBytes());
    for (const place of places) {
      const cost = this.#cost(place);
      if (cost > credit) return;
      credit -= cost;
      this.#addedBytes += cost;
      this.#queue.add([place], this.#usage);
    }
  }

  #cost({ device, chunk }: ChunkPlace): number {
    return this.#bootstrap.devices[device]?.chunks.compressedLength(chunk) ?? 0;
  }

  #smallFiles(directory: number): ChunkPlace[] {
    const { erofs } = this.#bootstrap;
    const places = new Map<string, ChunkPlace>();
    let files = 0;
    for (const { nid } of erofs.readDirectory(directory)) {
      const { mode, size } = erofs.inode(nid);
      if ((mode & S_IFMT) !== S_IFREG || size > SMALL_FILE) continue;
      if (files++ >= MAXIMUM_FILES) break;
      for (const { device, chunk } of chunksOf(this.#bootstrap, nid, 0, size)) {
        places.set(`${device}/${chunk}`, { device, chunk });
      }
    }
    return [...places.values()];
  }
}

/**
 * The chunks of a run of a file, in its order.
 * @throws {FormatError} SLUICE_EROFS_* for a broken image
 */
export function chunksOf(bootstrap: Bootstrap, nid: number, offset: number, length: number): ChunkPlace[] {
  const segments = planRead(bootstrap, nid, offset, length);
  return segments.filter((segment) => segment.kind === 'chunk').map(({ device, chunk }) => ({ device, chunk }));
}
