import { closeSync, openSync, readSync } from 'node:fs';
import { ChunkMap } from '../chunk/chunk-map.ts';
import { GENERATION_SIZE } from './generation.ts';

/** What a worker thread needs to read a cached device. Goes through `postMessage`; the buffers are shared, not copied. */
export interface CacheViewDescriptor {
  readonly dataFd: number;
  readonly stateFd: number;
  /** Of the device's {@link ChunkMap}. */
  readonly chunks: SharedArrayBuffer;
  /** u32 a chunk: the generation this process verified, 0 for none. Written by the main thread. */
  readonly verified: SharedArrayBuffer;
  /** u32 a chunk: tick of the last use. Written by everybody. */
  readonly lastUsed: SharedArrayBuffer;
  /** One u32. Written by the main thread. */
  readonly tick: SharedArrayBuffer;
}

/** Chunks that fit a read of 1 MiB when all are of one page, and one cut at each end. Longer reads grow the buffer. */
const USUAL_CHUNKS = 258;

/**
 * The read side of one cached device, for worker threads: synchronous, without locks, and without garbage.
 *
 * Data is read first and the generations after it. Whoever takes a chunk away makes its generation another one before
 * he touches the data, so generations that still are the verified ones vouch for the data read before (ADR-0003).
 * Made while the main thread has the device open; it opens the files anew, and has to be closed.
 */
export class CacheView {
  readonly #chunks: ChunkMap;
  readonly #dataFd: number;
  readonly #stateFd: number;
  readonly #verified: Uint32Array;
  readonly #lastUsed: Uint32Array;
  readonly #tick: Uint32Array;
  /** The generations a read relies on, noted before it, and those found after it. */
  #expected = new Uint32Array(USUAL_CHUNKS);
  #found = new Uint32Array(USUAL_CHUNKS);

  constructor(descriptor: CacheViewDescriptor) {
    this.#chunks = new ChunkMap(descriptor.chunks);
    this.#verified = new Uint32Array(descriptor.verified);
    this.#lastUsed = new Uint32Array(descriptor.lastUsed);
    this.#tick = new Uint32Array(descriptor.tick);
    // Descriptors of its own: a number that the main thread closed may soon stand for another file.
    this.#dataFd = openSync(`/dev/fd/${descriptor.dataFd}`, 'r');
    this.#stateFd = openSync(`/dev/fd/${descriptor.stateFd}`, 'r');
  }

  /**
   * Fills `target` with verified bytes. The read may run on into the chunks that follow, one pread for all of them.
   * @param chunk - where the read begins
   * @param offsetInChunk - bytes
   * @returns false when any of the chunks is not there: `target` holds rubbish then, and the main thread has to be asked
   */
  readInto(chunk: number, offsetInChunk: number, target: Uint8Array): boolean {
    const offset = this.#chunks.uncompressedOffset(chunk) + offsetInChunk;
    const count = this.#expect(chunk, offset + target.length);
    if (count === 0) return false;
    if (readSync(this.#dataFd, target, 0, target.length, offset) !== target.length) return false;
    return this.#vouch(chunk, count);
  }

  close(): void {
    closeSync(this.#dataFd);
    closeSync(this.#stateFd);
  }

  /** Notes the generations of the chunks from `first` up to byte `end`; 0 when one of them was never verified. */
  #expect(first: number, end: number): number {
    let count = 0;
    for (let covered = 0; covered < end; count++) {
      const chunk = first + count;
      const generation = Atomics.load(this.#verified, chunk);
      if (generation === 0) return 0;
      if (count === this.#expected.length) this.#grow();
      this.#expected[count] = generation;
      covered = this.#chunks.uncompressedOffset(chunk) + this.#chunks.uncompressedLength(chunk);
    }
    return count;
  }

  /**
   * Whether the chunks still have the generations of before the read. The table of verified generations must not be
   * asked again here: a chunk may have been taken away and put back meanwhile, under a new generation in both places.
   */
  #vouch(first: number, count: number): boolean {
    const size = count * GENERATION_SIZE;
    if (readSync(this.#stateFd, this.#found, 0, size, first * GENERATION_SIZE) !== size) return false;
    const tick = Atomics.load(this.#tick, 0);
    for (let i = 0; i < count; i++) {
      if (this.#found[i] !== this.#expected[i]) return false;
      Atomics.store(this.#lastUsed, first + i, tick);
    }
    return true;
  }

  #grow(): void {
    const expected = new Uint32Array(2 * this.#expected.length);
    expected.set(this.#expected);
    this.#expected = expected;
    this.#found = new Uint32Array(expected.length);
  }
}
