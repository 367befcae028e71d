/** Samples remembered: enough to outvote a few bad ones, few enough to follow a link that changes. */
const WAITS = 32;
const RATES = 16;

/** A shorter body is over before the link has shown what it carries. */
const MINIMUM_BODY_BYTES = 64 * 1024;
const MINIMUM_BODY_MS = 1;

/** Before anything is known of a place: what a 100 Mbit/s link carries in 5 ms. */
const UNKNOWN_BRIDGE = 64 * 1024;
const MINIMUM_BRIDGE = 16 * 1024;
/** What comes along is decompressed and verified, too: this much takes a millisecond. */
const MAXIMUM_BRIDGE = 256 * 1024;

/**
 * The part of a request's round trip that a request spared would save: others are under way meanwhile, and fill the
 * link. With a quarter, 100 Mbit/s and 20 ms give the 64 KiB that were measured to be right there.
 */
const BRIDGED_SHARE = 1 / 4;

const UNKNOWN_WINDOW = 256 * 1024;
const MINIMUM_WINDOW = 128 * 1024;
const MAXIMUM_WINDOW = 4 * 1024 * 1024;
/** Of a usual chunk, compressed. */
const USUAL_CHUNK = 64 * 1024;

/** One request, as far as it says something about the way to its place. */
export interface RequestSample {
  /** From asking to the first bytes. */
  readonly waitMs: number;
  /** From the first bytes to the last. */
  readonly bodyMs: number;
  /** What came from the place in that time, to this request and to others. */
  readonly bodyBytes: number;
}

/**
 * What the way to a place costs and carries: the least wait of late, which queues cannot make shorter, and the median of
 * rates, which single lucky or unlucky requests do not move.
 */
export class LinkMeter {
  readonly #waits: number[] = [];
  readonly #rates: number[] = [];

  add({ waitMs, bodyMs, bodyBytes }: RequestSample): void {
    remember(this.#waits, waitMs, WAITS);
    if (bodyBytes >= MINIMUM_BODY_BYTES && bodyMs >= MINIMUM_BODY_MS) remember(this.#rates, bodyBytes / bodyMs, RATES);
  }

  /** Bytes nobody asked for that are read to spare a request. */
  get bridge(): number {
    const bytes = this.#bytesPerRoundTrip;
    return bytes === undefined ? UNKNOWN_BRIDGE : clamp(bytes * BRIDGED_SHARE, MINIMUM_BRIDGE, MAXIMUM_BRIDGE);
  }

  /**
   * Bytes under way that delay a reader who comes now by no more than a miss takes by itself: what is sent in a round
   * trip, and a chunk.
   */
  get window(): number {
    const bytes = this.#bytesPerRoundTrip;
    return bytes === undefined ? UNKNOWN_WINDOW : clamp(bytes + USUAL_CHUNK, MINIMUM_WINDOW, MAXIMUM_WINDOW);
  }

  get #bytesPerRoundTrip(): number | undefined {
    if (this.#rates.length === 0) return undefined;
    const sorted = [...this.#rates].sort((a, b) => a - b);
    return Math.min(...this.#waits) * (sorted[sorted.length >> 1] ?? 0);
  }
}

function remember(samples: number[], sample: number, most: number): void {
  samples.push(sample);
  if (samples.length > most) samples.shift();
}

function clamp(value: number, least: number, most: number): number {
  return Math.round(Math.min(most, Math.max(least, value)));
}
