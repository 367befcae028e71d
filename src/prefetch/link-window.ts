/** Bytes under way at first: what 100 Mbit/s carries in 40 ms. */
const FIRST_SIZE = 512 * 1024;

/** The least keeps a slow link from idling between two requests; the most bounds memory, with decompression on top. */
const MINIMUM_SIZE = 128 * 1024;
const MAXIMUM_SIZE = 8 * 1024 * 1024;

/**
 * How long prefetch may make the link's queue: what a reader waits at worst behind bytes that nobody asked for. Short of
 * what a person notices, and long enough to keep the link busy through a round trip to the other side of a country.
 */
const TARGET_MS = 60;

/** What came quicker was not on the network: a cached chunk, which says nothing about the link. */
const LOCAL_MS = 0.5;

/**
 * How much prefetch may be under way, following the link: it grows while answers come as promptly as the promptest, and
 * shrinks when they queue. The idea of LEDBAT (RFC 6817), on chunks in place of packets.
 */
export class LinkWindow {
  #size = FIRST_SIZE;
  #promptestMs = Number.POSITIVE_INFINITY;

  /** Bytes, compressed. */
  get size(): number {
    return this.#size;
  }

  /**
   * @param bytes - of one chunk, compressed
   * @param latencyMs - from asking for it to having it
   */
  delivered(bytes: number, latencyMs: number): void {
    if (latencyMs < LOCAL_MS) return;
    this.#promptestMs = Math.min(this.#promptestMs, latencyMs);
    const queuedMs = latencyMs - this.#promptestMs;
    const change = bytes * Math.max(-1, (TARGET_MS - queuedMs) / TARGET_MS);
    this.#size = Math.min(MAXIMUM_SIZE, Math.max(MINIMUM_SIZE, this.#size + change));
  }
}
