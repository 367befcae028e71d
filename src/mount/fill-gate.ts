/**
 * Asked for and not there yet, compressed: enough neighbours for the longest requests there are. How many of them go out
 * is decided where all fetches are known.
 */
const MAXIMUM_UNDER_WAY = 8 * 1024 * 1024;

/** How far a limited rate may be ahead of time: requests are long where the rate allows it, and it is even all the same. */
const AHEAD_MS = 500;

/** A longer timer fires at once: Node's timers have 31 bits. */
const MAXIMUM_TIMER_MS = 2 ** 30;

/** Decides when a fill may ask for its next chunk: a bound on what is under way, a rate, and a pause. */
export class FillGate {
  readonly #signal: AbortSignal;
  #rate: number | undefined;
  #isPaused = false;
  #outstanding = 0;
  /** When what was asked for so far is due at the rate. */
  #dueAt = 0;
  #restUntil = 0;
  #wake: () => void = () => undefined;

  /** @param signal - whoever waits gets its reason when it is aborted */
  constructor(signal: AbortSignal) {
    this.#signal = signal;
    signal.addEventListener('abort', () => this.#wake(), { once: true });
  }

  /** Compressed bytes a second; undefined for as fast as it goes. */
  get rate(): number | undefined {
    return this.#rate;
  }

  set rate(bytesPerSecond: number | undefined) {
    this.#rate = bytesPerSecond;
    this.#dueAt = 0;
    this.#restUntil = 0;
    this.#wake();
  }

  get isPaused(): boolean {
    return this.#isPaused;
  }

  set isPaused(isPaused: boolean) {
    this.#isPaused = isPaused;
    this.#wake();
  }

  /** Waits until `bytes` more may be asked for. One caller at a time. */
  async enter(bytes: number): Promise<void> {
    for (let waitMs = this.#obstacle(bytes); waitMs > 0; waitMs = this.#obstacle(bytes)) await this.#change(waitMs);
    this.#outstanding += bytes;
    if (this.#rate === undefined) return;
    const now = performance.now();
    this.#dueAt = Math.max(this.#dueAt, now) + (bytes / this.#rate) * 1000;
    if (this.#dueAt - now >= AHEAD_MS) this.#restUntil = this.#dueAt;
  }

  /** `bytes` that were let in are there, or will not be. */
  leave(bytes: number): void {
    this.#outstanding -= bytes;
    this.#wake();
  }

  /** Nothing is under way. */
  get isIdle(): boolean {
    return this.#outstanding === 0;
  }

  /** Waits until nothing is under way. */
  async drained(): Promise<void> {
    while (!this.isIdle) await this.#change(Number.POSITIVE_INFINITY);
  }

  /** Waits for `ms`. */
  async rest(ms: number): Promise<void> {
    const end = performance.now() + ms;
    for (let left = ms; left > 0; left = end - performance.now()) await this.#change(left);
  }

  /** How long it takes at most until it is worth asking again; 0 when there is no obstacle. */
  #obstacle(bytes: number): number {
    const isFull = !this.isIdle && this.#outstanding + bytes > MAXIMUM_UNDER_WAY;
    return this.#isPaused || isFull ? Number.POSITIVE_INFINITY : this.#restUntil - performance.now();
  }

  async #change(ms: number): Promise<void> {
    this.#signal.throwIfAborted();
    await new Promise<void>((resolve) => {
      const timer = Number.isFinite(ms) ? setTimeout(resolve, Math.min(ms, MAXIMUM_TIMER_MS)) : undefined;
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#signal.throwIfAborted();
  }
}
