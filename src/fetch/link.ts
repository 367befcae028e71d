import type { ReadPriority } from './fetch-store.ts';
import { Health } from './health.ts';
import { LinkMeter } from './link-meter.ts';

/**
 * Compressed bytes of one request. A request this long has made its round trip (at 100 Mbit/s and 20 ms, 6 % of it) not
 * worth sparing.
 */
export const MAXIMUM_BATCH = 4 * 1024 * 1024;

/** Readers without end would keep background waiting without end. */
const MAXIMUM_YIELD_MS = 1_000;

/**
 * The way to one place, shared by all images that are there: what it carries, whether it works, what is under way.
 */
export class Link {
  /** As in `BlobPlace.name`. */
  readonly name: string;
  readonly health = new Health();
  readonly meter = new LinkMeter();
  readonly #now: () => number;
  readonly #transfers = new Set<Transfer>();
  #received = 0;
  #backgroundAt = Number.NEGATIVE_INFINITY;

  constructor(name: string, now: () => number) {
    this.name = name;
    this.#now = now;
  }

  /** Bytes that a request may ask for now; 0: none. */
  room(priority: ReadPriority): number {
    if (priority !== 'background') return MAXIMUM_BATCH;
    let underWay = 0;
    let isWantedElse = false;
    for (const transfer of this.#transfers) {
      if (transfer.priority === 'background') underWay += transfer.bytes;
      isWantedElse ||= transfer.priority === 'demand';
    }
    // Two requests, of which one makes its round trip while the other one's bytes come.
    const half = this.meter.window / 2;
    if (isWantedElse) return underWay === 0 && this.#now() - this.#backgroundAt > MAXIMUM_YIELD_MS ? half : 0;
    return underWay <= half ? half : 0;
  }

  /** A request goes out. */
  begin(bytes: number, priority: ReadPriority): Transfer {
    if (priority === 'background') this.#backgroundAt = this.#now();
    const transfer = new Transfer(this, bytes, priority, this.#now);
    this.#transfers.add(transfer);
    return transfer;
  }

  /** Bytes that came so far, to all requests. */
  get received(): number {
    return this.#received;
  }

  /** For {@link Transfer}. */
  add(bytes: number): void {
    this.#received += bytes;
  }

  /** For {@link Transfer}. */
  ended(transfer: Transfer): void {
    this.#transfers.delete(transfer);
  }
}

/** A request under way, measured. */
export class Transfer {
  readonly bytes: number;
  /** Rises when somebody comes to wait for a part of it. */
  priority: ReadPriority;
  readonly #link: Link;
  readonly #now: () => number;
  readonly #startedAt: number;
  #first: { readonly at: number; readonly received: number } | undefined;
  #lastAt = 0;

  /** By {@link Link.begin}. */
  constructor(link: Link, bytes: number, priority: ReadPriority, now: () => number) {
    this.#link = link;
    this.bytes = bytes;
    this.priority = priority;
    this.#now = now;
    this.#startedAt = now();
  }

  received(bytes: number): void {
    this.#link.add(bytes);
    this.#lastAt = this.#now();
    this.#first ??= { at: this.#lastAt, received: this.#link.received };
  }

  end(): void {
    this.#link.ended(this);
    if (this.#first === undefined) return;
    this.#link.meter.add({
      waitMs: this.#first.at - this.#startedAt,
      bodyMs: this.#lastAt - this.#first.at,
      bodyBytes: this.#link.received - this.#first.received,
    });
  }
}
