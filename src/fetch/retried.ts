import { setTimeout as sleep } from 'node:timers/promises';
import { SluiceError } from '../errors.ts';
import { type FetchRetried, fetchChannels } from './channels.ts';
import { chunkKey, type FetchStore, type ReadPriority } from './fetch-store.ts';
import { waitFor } from './wait-for.ts';

/** Time and chance, for tests to hold still. */
export interface RetryClock {
  /** Milliseconds from any fixed point. */
  now(): number;
  /** From 0 up to 1. */
  random(): number;
  wait(milliseconds: number): Promise<unknown>;
}

const realClock: RetryClock = { now: () => performance.now(), random: Math.random, wait: (ms) => sleep(ms) };

/** From the first try to the start of the last. A reader of a mounted file waits so long before it gets EIO. */
const DEFAULT_DEADLINE_MS = 30_000;

const FIRST_DELAY_MS = 100;
const MAXIMUM_DELAY_MS = 5_000;

/** Wrong bytes once more: a mirror or cache on the way may have been wrong, and the next answer may be another's. */
const MAXIMUM_MISMATCHES = 1;

interface Pause {
  readonly delayMs: number;
  readonly over: Promise<unknown>;
}

const noPause: Pause = { delayMs: 0, over: Promise.resolve() };

/**
 * Tries again what may succeed later: retryable errors, with delays that double and scatter, until the deadline; wrong
 * bytes once, at once. Everything else, and the last error, goes to the reader.
 */
export class RetriedChunks implements FetchStore {
  readonly #below: FetchStore;
  readonly #deadlineMs: number;
  readonly #clock: RetryClock;
  /** Reads that failed together share their error, wait together, and so go out as one request again. */
  readonly #pauses = new WeakMap<SluiceError, Pause>();
  /** What a read between two tries goes on with. */
  readonly #asked = new Map<number, { priority: ReadPriority | undefined }>();

  constructor(below: FetchStore, deadlineMs: number = DEFAULT_DEADLINE_MS, clock: RetryClock = realClock) {
    this.#below = below;
    this.#deadlineMs = deadlineMs;
    this.#clock = clock;
  }

  async read(device: number, chunk: number, signal?: AbortSignal, priority?: ReadPriority): Promise<Uint8Array> {
    const key = chunkKey(device, chunk);
    const ask = { priority };
    this.#asked.set(key, ask);
    const attempt = (): Promise<Uint8Array> => this.#below.read(device, chunk, signal, ask.priority);
    const report = (retry: Omit<FetchRetried, 'device' | 'chunk'>): void =>
      fetchChannels.retry.publish({ device, chunk, ...retry });
    try {
      return await this.#retry(attempt, report, signal);
    } finally {
      if (this.#asked.get(key) === ask) this.#asked.delete(key);
    }
  }

  promote(device: number, chunk: number): void {
    const ask = this.#asked.get(chunkKey(device, chunk));
    if (ask !== undefined) ask.priority = 'demand';
    this.#below.promote(device, chunk);
  }

  async #retry(
    action: () => Promise<Uint8Array>,
    report: (retry: Omit<FetchRetried, 'device' | 'chunk'>) => void,
    signal: AbortSignal | undefined,
  ): Promise<Uint8Array> {
    const deadline = this.#clock.now() + this.#deadlineMs;
    for (let attempt = 1, mismatches = 0; ; attempt++) {
      try {
        return await action();
      } catch (error) {
        signal?.throwIfAborted();
        const again = isMismatch(error) && mismatches++ < MAXIMUM_MISMATCHES;
        const pause = again ? noPause : this.#pause(error, attempt);
        if (pause === undefined || this.#clock.now() + pause.delayMs > deadline) throw error;
        report({ attempt, delayMs: pause.delayMs, error });
        await waitFor(pause.over, signal);
      }
    }
  }

  #pause(error: unknown, attempt: number): Pause | undefined {
    if (!(error instanceof SluiceError && error.retryable)) return undefined;
    const shared = this.#pauses.get(error);
    if (shared !== undefined) return shared;
    const ceiling = Math.min(MAXIMUM_DELAY_MS, FIRST_DELAY_MS * 2 ** (attempt - 1));
    // Half of it at least: a delay near nothing would make many clients hammer a registry that just failed.
    const delayMs = (ceiling / 2) * (1 + this.#clock.random());
    const pause = { delayMs, over: this.#clock.wait(delayMs) };
    this.#pauses.set(error, pause);
    return pause;
  }
}

function isMismatch(error: unknown): boolean {
  return error instanceof SluiceError && error.code === 'SLUICE_CHUNK_DIGEST_MISMATCH';
}
