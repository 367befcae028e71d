import { priorities, type ReadPriority } from './fetch-store.ts';

/** Chunks, and their uncompressed bytes. */
export interface FetchedAmount {
  readonly chunks: number;
  readonly bytes: number;
}

/** What an image has fetched, and is fetching. Plain data. */
export interface Traffic extends Readonly<Record<ReadPriority, FetchedAmount>> {
  /** Compressed, from the network, over the last seconds. */
  readonly bytesPerSecond: number;
  /** Where the last chunk came from, as in `BlobPlace.name`; undefined before there was one. */
  readonly place: string | undefined;
  /** Chunks that wait for a request. */
  readonly queued: Readonly<Record<ReadPriority, number>>;
}

/** How long the rate looks back. Whole seconds: the current one counts as far as it has come. */
const WINDOW_SECONDS = 4;

/** Counts what an image fetches. */
export class TrafficCount {
  readonly #now: () => number;
  readonly #amounts = {
    demand: { chunks: 0, bytes: 0 },
    prefetch: { chunks: 0, bytes: 0 },
    background: { chunks: 0, bytes: 0 },
  };
  /** Bytes of the seconds of late, each in the place of its number. */
  readonly #seconds = new Float64Array(WINDOW_SECONDS + 1);
  #second = 0;
  #place: string | undefined;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** A chunk came. @param bytes - uncompressed */
  fetched(priority: ReadPriority, bytes: number, place: string): void {
    const amount = this.#amounts[priority];
    amount.chunks++;
    amount.bytes += bytes;
    this.#place = place;
  }

  /** Compressed bytes came. */
  received(bytes: number): void {
    this.#advance();
    const slot = this.#second % this.#seconds.length;
    this.#seconds[slot] = (this.#seconds[slot] ?? 0) + bytes;
  }

  read(): Omit<Traffic, 'queued'> {
    this.#advance();
    const bytes = this.#seconds.reduce((a, b) => a + b, 0);
    const seconds = WINDOW_SECONDS + (this.#now() / 1000 - this.#second);
    const { demand, prefetch, background } = this.#amounts;
    return {
      demand: { ...demand },
      prefetch: { ...prefetch },
      background: { ...background },
      bytesPerSecond: Math.round(bytes / seconds),
      place: this.#place,
    };
  }

  #advance(): void {
    const second = Math.floor(this.#now() / 1000);
    const passed = Math.min(second - this.#second, this.#seconds.length);
    for (let i = 1; i <= passed; i++) this.#seconds[(this.#second + i) % this.#seconds.length] = 0;
    if (passed === this.#seconds.length) this.#seconds.fill(0);
    this.#second = second;
  }
}

/** One number a priority. */
export function perPriority(count: (priority: ReadPriority) => number): Record<ReadPriority, number> {
  const [demand, prefetch, background] = priorities.map(count);
  return { demand: demand ?? 0, prefetch: prefetch ?? 0, background: background ?? 0 };
}
