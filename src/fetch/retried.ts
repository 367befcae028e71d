import { setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { RegistryError, SluiceError } from '../errors.ts';
import { type FetchRetried, fetchChannels } from './channels.ts';
import type { FailurePolicy } from './failure-policy.ts';
import type { FetchStore, ReadPriority } from './fetch-store.ts';
import { isRefusal } from './places.ts';
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

const FIRST_DELAY_MS = 100;
const MAXIMUM_DELAY_MS = 5_000;

/**
 * How long a refusal is waited for (401, 403, 404): credentials are asked for again, a blob is pushed, within seconds. Not
 * for as long as an outage: a blob that is gone must not hold up each of a thousand files for half a minute.
 */
const REFUSED_MS = 5_000;

/** What a reader waits at most where nothing is tried again: a place that sends a byte every now and then never fails. */
const EIO_MS = 60_000;

/** The longest timer there is. */
const MAXIMUM_TIMER_MS = 2 ** 31 - 1;

interface Pause {
  readonly delayMs: number;
  /** Once somebody waits for it. */
  over: Promise<unknown> | undefined;
}

/** A read, between its tries. */
interface Attempts {
  readonly device: number;
  readonly chunk: number;
  readonly priority: ReadPriority;
  readonly signal: AbortSignal | undefined;
  /** Of a reader: when it gets its error. */
  readonly endsAt: number | undefined;
  error: unknown;
}

/**
 * Does what a mount is to do about failures (docs/adr/0014-fetch-scheduler.md). Under `wait`, what may succeed later is
 * tried again with delays that double and scatter, or that the registry asks for, until the deadline. The deadline is
 * each reader's own: it gets its error then, whoever else goes on waiting for the same fetch. What nobody waits for yet
 * has time to spend in queues; its deadline counts from the first failure.
 */
export class RetriedChunks implements FetchStore {
  readonly #below: FetchStore;
  readonly #policy: FailurePolicy;
  readonly #clock: RetryClock;
  /** Reads that failed together share their error, wait together, and so go out as one request again. */
  readonly #pauses = new WeakMap<SluiceError, Pause>();

  constructor(below: FetchStore, policy: FailurePolicy, clock: RetryClock = realClock) {
    this.#below = below;
    this.#policy = policy;
    this.#clock = clock;
  }

  /** @throws {RegistryError} SLUICE_OFFLINE at once, where nothing is to be asked */
  async read(
    device: number,
    chunk: number,
    signal?: AbortSignal,
    priority: ReadPriority = 'demand',
  ): Promise<Uint8Array> {
    signal?.throwIfAborted();
    if (this.#policy.kind === 'offline') {
      const message = `Cannot fetch chunk ${chunk} of device ${device}: it is not local, and the mount is offline`;
      throw new RegistryError('SLUICE_OFFLINE', message, { facts: { device, chunk } });
    }
    if (priority !== 'demand') {
      return this.#try({ device, chunk, priority, signal, endsAt: undefined, error: undefined });
    }
    return this.#tryInTime(device, chunk, signal, this.#policy.kind === 'wait' ? this.#policy.milliseconds : EIO_MS);
  }

  async #tryInTime(
    device: number,
    chunk: number,
    signal: AbortSignal | undefined,
    milliseconds: number,
  ): Promise<Uint8Array> {
    const end = new AbortController();
    const endsAt = this.#clock.now() + milliseconds;
    const attempts: Attempts = { device, chunk, priority: 'demand', signal: end.signal, endsAt, error: undefined };
    const leave = (): void => end.abort(signal?.reason);
    const timer = setTimeout(
      () => end.abort(attempts.error ?? late(device, chunk, milliseconds)),
      Math.min(milliseconds, MAXIMUM_TIMER_MS),
    );
    if (signal !== undefined) setMaxListeners(0, signal);
    signal?.addEventListener('abort', leave, { once: true });
    try {
      return await this.#try(attempts);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', leave);
    }
  }

  async #try(attempts: Attempts): Promise<Uint8Array> {
    const { device, chunk, priority, signal } = attempts;
    let failedAt: number | undefined;
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#below.read(device, chunk, signal, priority);
      } catch (error) {
        signal?.throwIfAborted();
        attempts.error = error;
        failedAt ??= this.#clock.now();
        const pause = this.#pause(error, attempt);
        if (pause === undefined || this.#clock.now() + pause.delayMs > this.#endOf(attempts, failedAt)) throw error;
        const { delayMs } = pause;
        const retry = { device, chunk, attempt, delayMs, priority, place: undefined, error };
        fetchChannels.retry.publish(retry satisfies FetchRetried);
        pause.over ??= this.#clock.wait(delayMs);
        await waitFor(pause.over, signal);
      }
    }
  }

  #endOf({ endsAt, error }: Attempts, failedAt: number): number {
    const patience = this.#policy.kind === 'wait' ? this.#policy.milliseconds : 0;
    const end = endsAt ?? failedAt + patience;
    return isRefusal(error) ? Math.min(end, failedAt + REFUSED_MS) : end;
  }

  /** @returns undefined for what waiting does not change */
  #pause(error: unknown, attempt: number): Pause | undefined {
    if (this.#policy.kind !== 'wait' || !(error instanceof SluiceError)) return undefined;
    const isRefused = isRefusal(error);
    if (!(error.retryable || isRefused)) return undefined;
    const shared = this.#pauses.get(error);
    if (shared !== undefined) return shared;
    const ceiling = Math.min(MAXIMUM_DELAY_MS, FIRST_DELAY_MS * 2 ** (attempt - 1 + (isRefused ? 3 : 0)));
    // Half of it at least: a delay near nothing would make many clients hammer a registry that just failed.
    const scattered = (ceiling / 2) * (1 + this.#clock.random());
    const delayMs = Math.max(scattered, Number(error.facts.retryAfterMs ?? 0));
    const pause = { delayMs, over: undefined };
    this.#pauses.set(error, pause);
    return pause;
  }
}

function late(device: number, chunk: number, milliseconds: number): RegistryError {
  const message = `Cannot fetch chunk ${chunk} of device ${device}: it did not come within ${milliseconds / 1000} s`;
  return new RegistryError('SLUICE_REGISTRY_TIMEOUT', message, { facts: { device, chunk, milliseconds } });
}
