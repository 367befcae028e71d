import type { FetchQueue, ReadPriority } from './fetch-store.ts';

/** A fetch under way. */
export interface Flight {
  /** Of the image that asked first. */
  readonly below: FetchQueue;
  /** Index in that image. */
  readonly device: number;
  readonly result: Promise<Uint8Array>;
  readonly controller: AbortController;
  priority: ReadPriority;
  /** Whether the result is there: giving it up then would cost an error object, and change nothing. */
  isOver: boolean;
  readers: number;
}

/** The fetches under way of one blob, by chunk. */
export type Flights = Map<number, Flight>;
