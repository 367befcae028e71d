import type { ChunkStore } from '../bootstrap/chunk-store.ts';
import type { ChunkMap } from '../chunk/chunk-map.ts';
import { chunkKey } from '../fetch/fetch-store.ts';
import { type ChunkPrefetched, type PrefetchStopped, prefetchChannels, type StopReason } from './channels.ts';
import { LinkWindow } from './link-window.ts';
import type { Usage, UsedDevice } from './usage.ts';

/** What is prefetched, at most, whatever is predicted: this much, or a share of the image. Compressed bytes. */
const MAXIMUM_BUDGET = 32 * 1024 * 1024;
const BUDGET_SHARE = 1 / 3;

/** So much is fetched on trust. Compressed bytes. */
const TRUSTED_BYTES = 2 * 1024 * 1024;

/** Readers get so long, from their first miss on, to make use of what is there. */
const PATIENCE_MS = 3_000;

/** Less use than this, and the predictions are no good. */
const USED_SHARE = 1 / 3;

/** After so many failures in a row the network has other troubles; demand finds out by itself when they are over. */
const MAXIMUM_FAILURES = 4;

/** Chunks that wait to be asked for: stops predictions without end. The budget is reached long before. */
const MAXIMUM_QUEUE = 65_536;

/** One device of the image: where its chunks lie, and which were read. */
export type PrefetchDevice = { readonly chunks: ChunkMap } & UsedDevice;

/** A chunk of a device. */
export interface ChunkPlace {
  readonly device: number;
  readonly chunk: number;
}

interface Wanted extends ChunkPlace {
  /** Compressed. */
  readonly bytes: number;
  readonly usage: Usage;
}

/**
 * Asks for predicted chunks in order, a window at a time, until the budget is used up or it shows that nobody reads
 * them. What is asked for together goes out as few requests, so the window is filled when half of it is empty.
 */
export class PrefetchQueue {
  readonly #chunks: ChunkStore;
  readonly #devices: readonly PrefetchDevice[];
  readonly #now: () => number;
  readonly #abort = new AbortController();
  readonly #window = new LinkWindow();
  /** By chunk, in the order they were added. */
  readonly #queue = new Map<number, Wanted>();
  /** Asked for and not there yet. */
  readonly #outstanding = new Map<number, Wanted>();
  /** Queued, asked for, there, or somebody else's: nothing is asked for twice. */
  readonly #known = new Set<number>();
  readonly #usages = new Set<Usage>();
  #outstandingBytes = 0;
  #budget: number;
  #failures = 0;
  /** What was there when readers were last looked at; nobody reads before the first miss. */
  #checkpoint = { at: Number.POSITIVE_INFINITY, fetchedBytes: 0 };
  #scheduled = false;

  /**
   * @param chunks - keeps what it reads, and reads below demand
   * @param now - milliseconds from any fixed point
   */
  constructor(chunks: ChunkStore, devices: readonly PrefetchDevice[], now: () => number = () => performance.now()) {
    this.#chunks = chunks;
    this.#devices = devices;
    this.#now = now;
    const imageBytes = devices.reduce((sum, device) => sum + device.chunks.compressedSize, 0);
    this.#budget = Math.min(MAXIMUM_BUDGET, imageBytes * BUDGET_SHARE);
  }

  /** Aborted when nothing more is to be prefetched. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Whether a chunk was added, or missed, before. */
  has({ device, chunk }: ChunkPlace): boolean {
    return this.#known.has(chunkKey(device, chunk));
  }

  /** @param usage - where their use is counted */
  add(places: Iterable<ChunkPlace>, usage: Usage): void {
    if (this.signal.aborted) return;
    this.#usages.add(usage);
    for (const { device, chunk } of places) {
      const key = chunkKey(device, chunk);
      if (this.#known.has(key) || this.#queue.size >= MAXIMUM_QUEUE) continue;
      this.#known.add(key);
      const bytes = this.#devices[device]?.chunks.compressedLength(chunk) ?? 0;
      this.#queue.set(key, { device, chunk, bytes, usage });
    }
    this.#schedule();
  }

  /** A reader found these chunks missing: what is queued of them is the reader's now. */
  missed(places: Iterable<ChunkPlace>): void {
    if (this.#checkpoint.at === Number.POSITIVE_INFINITY) this.#setCheckpoint();
    for (const { device, chunk } of places) {
      const key = chunkKey(device, chunk);
      this.#known.add(key);
      this.#queue.delete(key);
      this.#outstanding.get(key)?.usage.join(device, chunk);
    }
  }

  stop(reason: StopReason): void {
    if (this.signal.aborted) return;
    this.#abort.abort();
    this.#queue.clear();
    prefetchChannels.stopped.publish({ reason, ...this.#score() } satisfies PrefetchStopped);
  }

  /** After the turn: a window of chunks that are all in the cache must not keep readers waiting for the next one. */
  #schedule(): void {
    if (this.#scheduled || this.#queue.size === 0 || this.#outstandingBytes > this.#window.size / 2) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#fill();
    });
  }

  #fill(): void {
    for (const [key, wanted] of this.#queue) {
      if (this.#outstandingBytes > 0 && this.#outstandingBytes + wanted.bytes > this.#window.size) return;
      this.#queue.delete(key);
      this.#budget -= wanted.bytes;
      if (this.#budget < 0) {
        this.#queue.clear();
        return;
      }
      void this.#fetch(key, wanted);
    }
  }

  async #fetch(key: number, wanted: Wanted): Promise<void> {
    const { device, chunk, bytes } = wanted;
    const start = this.#now();
    this.#outstanding.set(key, wanted);
    this.#outstandingBytes += bytes;
    try {
      await this.#chunks.read(device, chunk, this.signal);
      this.#failures = 0;
      this.#delivered(wanted, this.#now() - start);
    } catch {
      // Whoever reads the chunk meets the error, and it is reported then.
      if (++this.#failures >= MAXIMUM_FAILURES) this.stop('failed');
    } finally {
      this.#outstanding.delete(key);
      this.#outstandingBytes -= bytes;
      this.#schedule();
    }
  }

  #delivered({ device, chunk, bytes, usage }: Wanted, latencyMs: number): void {
    usage.fetched(device, chunk, bytes);
    this.#window.delivered(bytes, latencyMs);
    if (prefetchChannels.fetched.hasSubscribers) {
      prefetchChannels.fetched.publish({ device, chunk, bytes, latencyMs } satisfies ChunkPrefetched);
    }
    if (this.#now() - this.#checkpoint.at >= PATIENCE_MS) this.#judge();
  }

  /** Whether readers used, since the last checkpoint, what was there then. */
  #judge(): void {
    const { fetchedBytes } = this.#checkpoint;
    const { usedBytes } = this.#score();
    if (fetchedBytes >= TRUSTED_BYTES && usedBytes < fetchedBytes * USED_SHARE) this.stop('unused');
    else this.#setCheckpoint();
  }

  #setCheckpoint(): void {
    this.#checkpoint = { at: this.#now(), fetchedBytes: this.#score().fetchedBytes };
  }

  #score(): { fetchedBytes: number; usedBytes: number } {
    let [fetchedBytes, usedBytes] = [0, 0];
    for (const usage of this.#usages) {
      fetchedBytes += usage.fetchedBytes;
      usedBytes += usage.usedBytes();
    }
    return { fetchedBytes, usedBytes };
  }
}
