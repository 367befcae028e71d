import { LinkWindow } from '../prefetch/link-window.ts';

/** How far a limited rate may be ahead of time: requests are long where the rate allows it, and it is even all the same. */
const AHEAD_MS = 500;

/** A longer timer fires at once: Node's timers have 31 bits. */
const MAXIMUM_TIMER_MS = 2 ** 30;

/** Decides when a fill may ask for its next chunk: what the link takes without queueing, a rate, and a pause. */
export class FillGate {
  readonly #signal: AbortSignal;
  readonly #window = new LinkWindow();
  #rate: number | undefined;
  #isPaused = false;
  /** The window was full; it is filled again when half of it is empty, so that requests are few and long. */
  #isFull = false;
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

  /** `bytes` that were let in are there. @param latencyMs - since then; undefined when they failed */
  left(bytes: number, latencyMs: number | undefined): void {
    this.#outstanding -= bytes;
    if (latencyMs !== undefined) this.#window.delivered(bytes, latencyMs);
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
    if (this.#isPaused) return Number.POSITIVE_INFINITY;
    const limit = this.#isFull ? this.#window.size / 2 : this.#window.size;
    this.#isFull = this.#outstanding > 0 && this.#outstanding + bytes > limit;
    return this.#isFull ? Number.POSITIVE_INFINITY : this.#restUntil - performance.now();
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
