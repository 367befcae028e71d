/** What is left out is counted in windows of a minute. */
const windowMs = 60_000;

/** Keys are made of what others name: beyond so many in a minute, all others share one. */
const maximumKeys = 1000;
const otherKeys = 'other';

/** Lets the first few of equal events through, and counts the others. */
export class RepeatLimit {
  readonly #perMinute: number;
  readonly #onLeftOut: (key: string, count: number) => void;
  readonly #counts = new Map<string, number>();
  #window: NodeJS.Timeout | undefined;

  /** @param onLeftOut - told at the end of a minute what was left out in it */
  constructor(perMinute: number, onLeftOut: (key: string, count: number) => void) {
    this.#perMinute = perMinute;
    this.#onLeftOut = onLeftOut;
  }

  /** Whether there is room for another one in this minute. */
  admits(event: string): boolean {
    this.#window ??= setTimeout(() => this.flush(), windowMs).unref();
    const isKnown = this.#counts.has(event) || this.#counts.size < maximumKeys;
    const key = isKnown ? event : otherKeys;
    const count = (this.#counts.get(key) ?? 0) + 1;
    this.#counts.set(key, count);
    return count <= this.#perMinute;
  }

  /** Ends the minute. */
  flush(): void {
    clearTimeout(this.#window);
    this.#window = undefined;
    const counts = [...this.#counts];
    this.#counts.clear();
    for (const [key, count] of counts) if (count > this.#perMinute) this.#onLeftOut(key, count - this.#perMinute);
  }
}
