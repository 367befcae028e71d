import type { LocalChunkStore } from '../bootstrap/chunk-store.ts';
import type { ChunkMap } from '../chunk/chunk-map.ts';

/**
 * How far a run goes before anything is read ahead of it, in uncompressed bytes. The kernel reads up to 1 MiB ahead, and
 * as much around a page fault in a mapped file: a program that starts looks like runs of the length of its libraries.
 * Measured with python's start: 27.6 % of the image fetched with none of this, 20.1 % with 2 MiB, 19.4 to 20.4 % with 3,
 * 19.4 % without reading ahead.
 */
const MINIMUM_RUN = 8 * 1024 * 1024;

/** Read ahead at first, and at most. Uncompressed bytes. It doubles when it is used up, as the kernel's does. */
const FIRST_WINDOW = 256 * 1024;
const MAXIMUM_WINDOW = 4 * 1024 * 1024;

/** Runs told apart in one device: files read at the same time, by one program or several. */
const RUNS_PER_DEVICE = 8;

/** Asked for and not there yet, all runs together. Bounds memory when a slow link meets many readers. */
const MAXIMUM_OUTSTANDING = 32 * 1024 * 1024;

interface Run {
  /** The chunk it began with. */
  readonly first: number;
  /** The chunk last read. */
  position: number;
  /** The first chunk not asked for. */
  frontier: number;
  /** Bytes; 0 before anything is read ahead. */
  window: number;
}

/**
 * Asks for the next few chunks when reads run forward through a device, so that a sequential read is not one round trip
 * a chunk.
 */
export class SequentialChunks implements LocalChunkStore {
  readonly #demand: LocalChunkStore;
  readonly #prefetch: LocalChunkStore;
  readonly #devices: readonly { readonly chunks: ChunkMap }[];
  readonly #signal: AbortSignal;
  /** Most recently used first. */
  readonly #runs = new Map<number, Run[]>();
  #outstanding = 0;

  /**
   * @param demand - where reads go
   * @param prefetch - the same chunks, at lower priority
   * @param signal - aborted when nobody will read any more: ends what is being read ahead
   */
  constructor(
    demand: LocalChunkStore,
    prefetch: LocalChunkStore,
    devices: readonly { readonly chunks: ChunkMap }[],
    signal: AbortSignal,
  ) {
    this.#demand = demand;
    this.#prefetch = prefetch;
    this.#devices = devices;
    this.#signal = signal;
  }

  read(device: number, chunk: number, signal?: AbortSignal): Promise<Uint8Array> {
    const result = this.#demand.read(device, chunk, signal);
    this.#wanted(device, chunk);
    return result;
  }

  bring(device: number, chunk: number, signal?: AbortSignal): Promise<Uint8Array | undefined> {
    const result = this.#demand.bring(device, chunk, signal);
    this.#wanted(device, chunk);
    return result;
  }

  #wanted(device: number, chunk: number): void {
    const chunks = this.#devices[device]?.chunks;
    if (chunks !== undefined && !this.#signal.aborted) this.#ahead(device, chunks, this.#follow(device, chunk));
  }

  /** The run that `chunk` belongs to, brought up to date. */
  #follow(device: number, chunk: number): Run {
    const runs = this.#runs.get(device) ?? [];
    this.#runs.set(device, runs);
    const index = runs.findIndex(({ position, frontier }) => chunk >= position && chunk <= frontier);
    const run = runs[index] ?? { first: chunk, position: chunk, frontier: chunk + 1, window: 0 };
    if (index >= 0) runs.splice(index, 1);
    runs.unshift(run);
    runs.length = Math.min(runs.length, RUNS_PER_DEVICE);
    run.position = Math.max(run.position, chunk);
    run.frontier = Math.max(run.frontier, chunk + 1);
    return run;
  }

  /** Fills the window when half of it has been read: fewer requests, and longer ones. */
  #ahead(device: number, chunks: ChunkMap, run: Run): void {
    if (run.position + 1 >= chunks.count) return;
    const start = chunks.uncompressedOffset(run.position + 1);
    const asked = run.frontier < chunks.count ? chunks.uncompressedOffset(run.frontier) : chunks.deviceSize;
    if (start - chunks.uncompressedOffset(run.first) < MINIMUM_RUN || asked - start > run.window / 2) return;
    run.window = Math.min(MAXIMUM_WINDOW, Math.max(FIRST_WINDOW, 2 * run.window));
    for (; run.frontier < chunks.count && this.#outstanding < MAXIMUM_OUTSTANDING; run.frontier++) {
      const end = chunks.uncompressedOffset(run.frontier) + chunks.uncompressedLength(run.frontier);
      if (end - start > run.window) return;
      this.#ask(device, run.frontier, chunks.uncompressedLength(run.frontier));
    }
  }

  #ask(device: number, chunk: number, bytes: number): void {
    this.#outstanding += bytes;
    const done = (): void => {
      this.#outstanding -= bytes;
    };
    // Whoever reads the chunk meets the error himself, and tries again.
    this.#prefetch.bring(device, chunk, this.#signal).then(done, done);
  }
}
