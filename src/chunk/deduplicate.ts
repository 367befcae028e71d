import type { Extent } from '../erofs/inode.ts';
import { ChunkDict, type ChunkLocation } from './chunk-dict.ts';
import type { CutChunk } from './cut.ts';
import { paddedSize } from './parameters.ts';

/** What a layer's device stores, and where each of its cut chunks lies. */
export interface Placement {
  /** Indexes of the cut chunks to store, in the order of the device image. */
  readonly stored: readonly number[];
  /** Bytes of the device image. */
  readonly deviceSize: number;
  /** For each cut chunk, in this device or a lower one. */
  readonly locations: readonly ChunkLocation[];
}

/** The chunks of a large file, which was cut by itself. */
export interface FileSpan {
  readonly firstChunk: number;
  readonly chunkCount: number;
  /** Of the file, holes included. Bytes. */
  readonly fileSize: number;
}

/**
 * A file that is put together from several places needs a chunk index every few pages instead of every 16 MiB: up to
 * 2 bytes of bootstrap a KiB of the file. That is worth it when at least this part of the file need not be stored again.
 */
const WORTHWHILE_SHARE = 1 / 64;

/**
 * Decides which chunks a layer stores: each one that neither a lower layer nor this one before it holds. The chunks of
 * a large file that has little in common with what is known are stored together all the same.
 *
 * @param chunks - as cutFiles() returned them
 * @param lower - chunks of the layers below; not changed
 * @param device - index of this layer's device
 * @param files - large files, in the order of their chunks
 */
export function deduplicate(
  chunks: readonly CutChunk[],
  lower: ChunkDict,
  device: number,
  files: readonly FileSpan[],
): Placement {
  const own = new ChunkDict();
  const stored: number[] = [];
  const locations: ChunkLocation[] = [];
  let deviceSize = 0;
  const find = ({ digest, length }: CutChunk): ChunkLocation | undefined =>
    lower.find(digest, length) ?? own.find(digest, length);
  const place = (end: number, isShared: boolean): void => {
    for (const chunk of chunks.slice(locations.length, end)) {
      const known = isShared ? find(chunk) : undefined;
      const location = known ?? { device, deviceOffset: deviceSize, length: chunk.length };
      if (known === undefined) {
        own.add(chunk.digest, location);
        stored.push(locations.length);
        deviceSize += chunk.length;
      }
      locations.push(location);
    }
  };
  for (const { firstChunk, chunkCount, fileSize } of files) {
    place(firstChunk, true);
    const end = firstChunk + chunkCount;
    const knownBytes = chunks.slice(firstChunk, end).reduce((sum, c) => sum + (find(c) ? c.length : 0), 0);
    place(end, knownBytes >= fileSize * WORTHWHILE_SHARE);
  }
  place(chunks.length, true);
  return { stored, deviceSize, locations };
}

/** A run of a file's data; what no run covers is a hole. */
export interface DataRun {
  /** In the file, bytes, a multiple of the page size. */
  readonly offset: number;
  /** Bytes; a multiple of the page size in all but the last run of a file. */
  readonly length: number;
}

/**
 * Where the content of each file ended up. Runs that follow one another in the file and in the device are one extent.
 *
 * @param files - the data runs of each file, in the order in which they were cut
 * @yields the extents of each file, in order of file offset
 * @throws {RangeError} when the files are not those that were cut
 */
export function* fileExtents(
  files: Iterable<readonly DataRun[]>,
  locations: readonly ChunkLocation[],
): Generator<Extent[]> {
  const cursor = new LocationCursor(locations);
  for (const runs of files) {
    const extents: Extent[] = [];
    for (const run of runs) {
      for (let done = 0; done < run.length; ) {
        const piece = cursor.take(paddedSize(run.length) - done);
        append(extents, {
          offset: run.offset + done,
          length: Math.min(piece.length, run.length - done),
          device: piece.device,
          deviceOffset: piece.deviceOffset,
        });
        done += piece.length;
      }
    }
    yield extents;
  }
}

function append(extents: Extent[], next: Extent): void {
  const last = extents.at(-1);
  const follows =
    last !== undefined &&
    last.device === next.device &&
    last.offset + last.length === next.offset &&
    last.deviceOffset + last.length === next.deviceOffset;
  if (follows) extents[extents.length - 1] = { ...last, length: last.length + next.length };
  else extents.push(next);
}

/** Walks over the cut chunks, which lie one after the other as the files do. */
class LocationCursor {
  readonly #locations: readonly ChunkLocation[];
  #index = 0;
  #used = 0;

  constructor(locations: readonly ChunkLocation[]) {
    this.#locations = locations;
  }

  /** The place of the next bytes: `length` of them, or fewer where the chunk ends. */
  take(length: number): ChunkLocation {
    const chunk = this.#locations[this.#index];
    if (chunk === undefined) throw new RangeError('Cannot place files: they are longer than the chunks');
    const count = Math.min(length, chunk.length - this.#used);
    const piece = { device: chunk.device, deviceOffset: chunk.deviceOffset + this.#used, length: count };
    this.#used += count;
    if (this.#used === chunk.length) {
      this.#index++;
      this.#used = 0;
    }
    return piece;
  }
}
