/** A place that failed is left alone for so long; twice as long after each failure that follows. */
const FIRST_REST_MS = 1_000;
const MAXIMUM_REST_MS = 60_000;

/** Whether a place is to be asked: it is until it fails, and then again after growing pauses, to see whether it is back. */
export class Health {
  #failures = 0;
  #restsUntil = 0;
  #isProbed = false;

  get isGood(): boolean {
    return this.#failures === 0;
  }

  /** When it may be asked again; on the clock that `failed` was given. */
  get restsUntil(): number {
    return this.#restsUntil;
  }

  succeeded(): void {
    this.#failures = 0;
    this.#restsUntil = 0;
  }

  /** @param atLeastMs - what the place itself asked for */
  failed(now: number, atLeastMs = 0): void {
    // Requests that were under way together fail together: one failure.
    if (!this.isGood && now < this.#restsUntil) return;
    const rest = Math.max(FIRST_REST_MS * 2 ** Math.min(this.#failures++, 16), atLeastMs);
    this.#restsUntil = now + Math.min(rest, MAXIMUM_REST_MS);
  }

  /** Whether it is time to see if it is back; true once, until {@link probed}. */
  takeProbe(now: number): boolean {
    if (this.isGood || this.#isProbed || now < this.#restsUntil) return false;
    this.#isProbed = true;
    return true;
  }

  probed(): void {
    this.#isProbed = false;
  }
}
