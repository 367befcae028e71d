import type { ChunkMap } from '../chunk/chunk-map.ts';
import { fetchChannels } from './channels.ts';
import type { BatchSource, ChunkResult, FetchStore, ReadPriority } from './fetch-store.ts';

/** Range requests under way at once. More connections than this share the link, and hardly fill it better. */
const MAXIMUM_REQUESTS = 8;

/** Of those, kept free of prefetch, so that demand finds one however much is read ahead. */
const RESERVED_FOR_DEMAND = 2;

/**
 * Compressed bytes of one request. With {@link MAXIMUM_REQUESTS} it bounds what is in flight to 32 MiB, and a request
 * this long has made its round trip (at 100 Mbit/s and 20 ms, 6 % of it) not worth saving.
 */
const MAXIMUM_BATCH = 4 * 1024 * 1024;

/**
 * Bytes nobody asked for that are read to save a request: what a 100 Mbit/s link carries in 5 ms, about what a request
 * costs a registry beyond its bytes. It is also a chunk of usual size, compressed: one cached chunk in the middle of a
 * run does not make two of it.
 */
const BRIDGED_GAP = 64 * 1024;

interface Waiter {
  readonly device: number;
  readonly chunk: number;
  priority: ReadPriority;
  settle(result: ChunkResult): void;
}

interface Batch {
  readonly device: number;
  readonly waiters: Waiter[];
  readonly controller: AbortController;
}

/**
 * Chunks asked for in the same turn, or while all requests are under way, go out as one range request where they are
 * neighbours in the blob. Each is delivered as soon as its own bytes are in.
 *
 * Demand goes out in the order it came, before any prefetch, and what is read ahead only ever follows it in a request.
 */
export class BatchedChunks implements FetchStore {
  readonly #source: BatchSource;
  readonly #devices: readonly { readonly chunks: ChunkMap }[];
  /** In the order they came. Bounded by the readers: the kernel's queue for demand, the window for prefetch. */
  #waiting: Waiter[] = [];
  readonly #batches = new Set<Batch>();
  #scheduled = false;

  /** @param devices - the chunk map of each device: which chunks are neighbours */
  constructor(source: BatchSource, devices: readonly { readonly chunks: ChunkMap }[]) {
    this.#source = source;
    this.#devices = devices;
  }

  read(device: number, chunk: number, signal?: AbortSignal, priority: ReadPriority = 'demand'): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      const settle = (result: ChunkResult): void => {
        signal?.removeEventListener('abort', leave);
        if ('bytes' in result) resolve(result.bytes);
        else reject(result.error);
      };
      const waiter: Waiter = { device, chunk, priority, settle };
      const leave = (): void => {
        settle({ error: signal?.reason });
        this.#leave(waiter);
      };
      // Throws for a chunk that does not exist, while there is somebody to tell.
      this.#chunks(device).compressedLength(chunk);
      if (signal?.aborted) return leave();
      signal?.addEventListener('abort', leave, { once: true });
      this.#waiting.push(waiter);
      this.#schedule();
    });
  }

  promote(device: number, chunk: number): void {
    for (const waiter of this.#waiting) {
      if (waiter.device === device && waiter.chunk === chunk) waiter.priority = 'demand';
    }
    this.#schedule();
  }

  #leave(waiter: Waiter): void {
    this.#waiting = this.#waiting.filter((other) => other !== waiter);
    for (const batch of this.#batches) {
      const index = batch.waiters.indexOf(waiter);
      if (index < 0) continue;
      batch.waiters.splice(index, 1);
      if (batch.waiters.length === 0) batch.controller.abort();
    }
  }

  /** After the turn, so that all its reads are seen together. */
  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      for (let batch = this.#next(); batch !== undefined; batch = this.#next()) void this.#send(batch);
    });
  }

  #next(): Batch | undefined {
    const demand = this.#waiting.find(({ priority }) => priority === 'demand');
    const seed = demand ?? this.#waiting[0];
    const allowed = demand === undefined ? MAXIMUM_REQUESTS - RESERVED_FOR_DEMAND : MAXIMUM_REQUESTS;
    if (seed === undefined || this.#batches.size >= allowed) return undefined;
    const chosen = new Set(this.#neighbours(seed));
    this.#waiting = this.#waiting.filter((waiter) => !chosen.has(waiter));
    return { device: seed.device, waiters: [...chosen], controller: new AbortController() };
  }

  /** The run of waiters around `seed`, in blob order: those of its own priority, then the prefetch that follows. */
  #neighbours(seed: Waiter): Waiter[] {
    const sorted = this.#waiting
      .filter(({ device }) => device === seed.device)
      .sort((a, b) => a.chunk - b.chunk || Number(a !== seed) - Number(b !== seed));
    const peers = sorted.filter(({ priority }) => priority === seed.priority);
    let first = seed;
    let last = seed;
    const at = peers.indexOf(seed);
    for (const peer of peers.slice(at + 1)) {
      if (!this.#fits(first, last, peer)) break;
      last = peer;
    }
    for (const peer of peers.slice(0, at).reverse()) {
      if (!this.#fits(peer, peer, first) || this.#span(peer, last) > MAXIMUM_BATCH) break;
      first = peer;
    }
    for (const waiter of sorted) {
      if (waiter.chunk <= last.chunk) continue;
      if (waiter.priority === 'demand' || !this.#fits(first, last, waiter)) break;
      last = waiter;
    }
    return sorted.filter(({ chunk }) => chunk >= first.chunk && chunk <= last.chunk);
  }

  /** Whether `next` is near enough to `last`, and the run that starts at `first` short enough with it. */
  #fits(first: Waiter, last: Waiter, next: Waiter): boolean {
    const chunks = this.#chunks(next.device);
    const gap = chunks.compressedOffset(next.chunk) - chunks.compressedOffset(last.chunk);
    return gap - chunks.compressedLength(last.chunk) <= BRIDGED_GAP && this.#span(first, next) <= MAXIMUM_BATCH;
  }

  #span(first: Waiter, last: Waiter): number {
    const chunks = this.#chunks(first.device);
    return (
      chunks.compressedOffset(last.chunk) + chunks.compressedLength(last.chunk) - chunks.compressedOffset(first.chunk)
    );
  }

  #chunks(device: number): ChunkMap {
    const chunks = this.#devices[device]?.chunks;
    if (chunks === undefined) throw new RangeError(`Cannot read device ${device}: there are ${this.#devices.length}`);
    return chunks;
  }

  async #send(batch: Batch): Promise<void> {
    const { device, waiters, controller } = batch;
    const chunks = [...new Set(waiters.map(({ chunk }) => chunk))];
    const request = this.#describe(batch);
    const start = performance.now();
    let error: unknown;
    this.#batches.add(batch);
    try {
      await this.#source.readBatch(
        { device, chunks },
        (chunk, result) => deliver(batch, chunk, result),
        controller.signal,
      );
    } catch (thrown) {
      error = thrown;
    }
    this.#batches.delete(batch);
    if (fetchChannels.request.hasSubscribers) {
      fetchChannels.request.publish({ ...request, durationMs: performance.now() - start, error });
    }
    const left = error ?? new Error('Cannot read chunk: its source ended without it');
    for (const waiter of waiters.splice(0)) waiter.settle({ error: left });
    this.#schedule();
  }

  #describe({ device, waiters }: Batch): { device: number; bytes: number; chunks: number; priority: ReadPriority } {
    const [first, last] = [waiters[0], waiters.at(-1)];
    const bytes = first === undefined || last === undefined ? 0 : this.#span(first, last);
    const priority = waiters.some((waiter) => waiter.priority === 'demand') ? 'demand' : 'prefetch';
    return { device, bytes, chunks: waiters.length, priority };
  }
}

function deliver(batch: Batch, chunk: number, result: ChunkResult): void {
  const ready = batch.waiters.filter((waiter) => waiter.chunk === chunk);
  for (const waiter of ready) {
    batch.waiters.splice(batch.waiters.indexOf(waiter), 1);
    waiter.settle(result);
  }
}
