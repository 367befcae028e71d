import type { ChunkStore } from '../bootstrap/chunk-store.ts';
import { chunkKey, type FetchStore, type ReadPriority } from './fetch-store.ts';
import { waitFor } from './wait-for.ts';

interface Flight {
  readonly result: Promise<Uint8Array>;
  readonly controller: AbortController;
  priority: ReadPriority;
  readers: number;
}

/**
 * One fetch a chunk, however many readers wait for it. A reader that gives up leaves; the fetch is given up when the
 * last one has left. A failure reaches those who wait and sticks to nobody else: the next read tries again.
 */
export class CoalescedChunks implements FetchStore {
  readonly #below: FetchStore;
  readonly #flights = new Map<number, Flight>();

  constructor(below: FetchStore) {
    this.#below = below;
  }

  /** The same chunks, for those who read ahead. A reader who joins makes it demand. */
  get prefetch(): ChunkStore {
    return { read: (device, chunk, signal) => this.read(device, chunk, signal, 'prefetch') };
  }

  async read(
    device: number,
    chunk: number,
    signal?: AbortSignal,
    priority: ReadPriority = 'demand',
  ): Promise<Uint8Array> {
    signal?.throwIfAborted();
    const key = chunkKey(device, chunk);
    let flight = this.#flights.get(key);
    if (flight === undefined) {
      flight = this.#start(device, chunk, priority);
    } else if (priority === 'demand' && flight.priority === 'prefetch') {
      flight.priority = 'demand';
      this.promote(device, chunk);
    }
    flight.readers++;
    try {
      return await waitFor(flight.result, signal);
    } finally {
      flight.readers--;
      if (flight.readers === 0) this.#end(key, flight);
    }
  }

  promote(device: number, chunk: number): void {
    this.#below.promote(device, chunk);
  }

  #start(device: number, chunk: number, priority: ReadPriority): Flight {
    const controller = new AbortController();
    const result = this.#below.read(device, chunk, controller.signal, priority);
    const flight: Flight = { result, controller, priority, readers: 0 };
    const key = chunkKey(device, chunk);
    this.#flights.set(key, flight);
    const land = (): void => this.#forget(key, flight);
    result.then(land, land);
    return flight;
  }

  /** Nobody waits any more: a no-op when the fetch is done. */
  #end(key: number, flight: Flight): void {
    this.#forget(key, flight);
    flight.controller.abort();
  }

  #forget(key: number, flight: Flight): void {
    if (this.#flights.get(key) === flight) this.#flights.delete(key);
  }
}
