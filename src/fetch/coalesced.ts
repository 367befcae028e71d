import { type FetchQueue, type FetchStore, isMoreUrgent, type ReadPriority } from './fetch-store.ts';
import type { Flight, Flights } from './flights.ts';
import { waitFor } from './wait-for.ts';

/**
 * One fetch a chunk, however many readers of however many images wait for it. A reader that gives up leaves; the fetch is
 * given up when the last one has left. A failure reaches those who wait and sticks to nobody else: the next read tries
 * again. Readers of another image, which may have another registry, try for themselves before they fail.
 */
export class CoalescedChunks implements FetchStore {
  readonly #below: FetchQueue;
  readonly #shared: readonly Flights[];
  /** Of this image, for chunks that another image failed to fetch. */
  readonly #own: readonly Flights[];

  /** @param shared - a device each: the fetches under way of its blob, whichever image's they are */
  constructor(below: FetchQueue, shared: readonly Flights[]) {
    this.#below = below;
    this.#shared = shared;
    this.#own = shared.map(() => new Map());
  }

  async read(
    device: number,
    chunk: number,
    signal?: AbortSignal,
    priority: ReadPriority = 'demand',
  ): Promise<Uint8Array> {
    signal?.throwIfAborted();
    const [shared, own] = [this.#shared[device], this.#own[device]];
    if (shared === undefined || own === undefined) {
      throw new RangeError(`Cannot read device ${device}: there are ${this.#shared.length}`);
    }
    const known = shared.get(chunk);
    const join = (flights: Flights): Promise<Uint8Array> => this.#join(flights, device, chunk, signal, priority);
    if (known === undefined || known.below === this.#below) return join(shared);
    try {
      return await join(shared);
    } catch {
      signal?.throwIfAborted();
      return join(own);
    }
  }

  async #join(
    flights: Flights,
    device: number,
    chunk: number,
    signal: AbortSignal | undefined,
    priority: ReadPriority,
  ): Promise<Uint8Array> {
    const flight = flights.get(chunk) ?? this.#start(flights, device, chunk, priority);
    if (isMoreUrgent(priority, flight.priority)) {
      flight.priority = priority;
      flight.below.promote(flight.device, chunk, priority);
    }
    flight.readers++;
    try {
      return await waitFor(flight.result, signal);
    } finally {
      flight.readers--;
      if (flight.readers === 0) {
        forget(flights, chunk, flight);
        if (!flight.isOver) flight.controller.abort();
      }
    }
  }

  #start(flights: Flights, device: number, chunk: number, priority: ReadPriority): Flight {
    const controller = new AbortController();
    const below = this.#below;
    const result = below.read(device, chunk, controller.signal, priority);
    const flight: Flight = { below, device, result, controller, priority, isOver: false, readers: 0 };
    flights.set(chunk, flight);
    const land = (): void => {
      flight.isOver = true;
      forget(flights, chunk, flight);
    };
    result.then(land, land);
    return flight;
  }
}

function forget(flights: Flights, chunk: number, flight: Flight): void {
  if (flights.get(chunk) === flight) flights.delete(chunk);
}
