import type { ChunkMap } from '../chunk/chunk-map.ts';
import { IntegrityError, SluiceError, UsageError } from '../errors.ts';
import { type ChunkFetched, type FetchRetried, fetchChannels } from './channels.ts';
import { type ChunkKeeper, type ChunkResult, type FetchQueue, isMoreUrgent, type ReadPriority } from './fetch-store.ts';
import { MAXIMUM_BATCH } from './link.ts';
import { neighbourRun } from './neighbour-run.ts';
import { Places } from './places.ts';
import { probePlace } from './probe-place.ts';
import { type BatchPlace, RangeRequest } from './range-request.ts';
import type { FetchScheduler, RequestQueue, RunningRequest } from './scheduler.ts';
import { perPriority, type Traffic, TrafficCount } from './traffic.ts';

/** A device of an image: what its blob is called, and which chunks of it are neighbours. */
export interface BatchDevice {
  readonly descriptor: { readonly digest: string };
  readonly chunks: ChunkMap;
}

interface Waiter {
  readonly device: number;
  readonly chunk: number;
  priority: ReadPriority;
  /** Places that failed for this chunk. */
  tried: ReadonlySet<number>;
  /** The most telling error so far. */
  error: unknown;
  settle(result: ChunkResult): void;
}

/** A request, and who waits for its chunks. */
interface Batch {
  readonly device: number;
  /** Index of the place it goes to. */
  readonly place: number;
  readonly request: RangeRequest;
  readonly waiters: Waiter[];
  /** What is still to come. */
  readonly chunks: Set<number>;
}

const none: ReadonlySet<number> = new Set();

/**
 * Chunks of one image asked for in the same turn, or while all requests are under way, go out as one range request where
 * they are neighbours in the blob. Each is delivered as soon as its own bytes are in. What one place cannot give is asked
 * of the next, once of each; the error comes when all have failed.
 */
export class BatchedChunks implements FetchQueue, RequestQueue {
  readonly #places: readonly BatchPlace[];
  readonly #choice: Places;
  readonly #devices: readonly BatchDevice[];
  readonly #scheduler: FetchScheduler;
  readonly #traffic: TrafficCount;
  readonly #keeper: ChunkKeeper | undefined;
  readonly #closing = new AbortController();
  /** In the order they came. Bounded by the readers: the kernel's queue for demand, windows for the others. */
  #waiting: Waiter[] = [];
  readonly #batches = new Set<Batch>();

  /**
   * @param places - at least one, best first
   * @param keeper - gets what lies between chunks that were asked for: its bytes come anyway
   */
  constructor(
    places: readonly BatchPlace[],
    devices: readonly BatchDevice[],
    scheduler: FetchScheduler,
    keeper?: ChunkKeeper,
  ) {
    const { now } = scheduler;
    const links = places.map(({ link }) => link);
    this.#places = places;
    this.#devices = devices;
    this.#scheduler = scheduler;
    this.#choice = new Places(links, now);
    this.#traffic = new TrafficCount(now);
    this.#keeper = keeper;
  }

  traffic(): Traffic {
    return { ...this.#traffic.read(), queued: perPriority((priority) => this.waiting(priority)) };
  }

  /** @throws once every place has failed: an error worth waiting for, when there was one */
  read(device: number, chunk: number, signal?: AbortSignal, priority: ReadPriority = 'demand'): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      const settle = (result: ChunkResult): void => {
        signal?.removeEventListener('abort', leave);
        if ('bytes' in result) resolve(result.bytes);
        else reject(result.error);
      };
      const waiter: Waiter = { device, chunk, priority, tried: none, error: undefined, settle };
      const leave = (): void => {
        settle({ error: signal?.reason });
        this.#leave(waiter);
      };
      // Throws for a chunk that does not exist, while there is somebody to tell.
      this.#device(device).chunks.compressedLength(chunk);
      this.#closing.signal.throwIfAborted();
      if (signal?.aborted) return leave();
      signal?.addEventListener('abort', leave, { once: true });
      this.#waiting.push(waiter);
      this.#scheduler.schedule(this);
    });
  }

  promote(device: number, chunk: number, priority: ReadPriority): void {
    const raised = [...this.#waiting, ...[...this.#batches].flatMap(({ waiters }) => waiters)].filter(
      (waiter) => waiter.device === device && waiter.chunk === chunk && isMoreUrgent(priority, waiter.priority),
    );
    for (const waiter of raised) waiter.priority = priority;
    for (const { request, waiters } of this.#batches) {
      const isWanted = raised.some((waiter) => waiters.includes(waiter));
      if (isWanted && isMoreUrgent(priority, request.priority)) request.raise(priority);
    }
    this.#scheduler.schedule(this);
  }

  waiting(priority: ReadPriority): number {
    return this.#waiting.reduce((count, waiter) => count + Number(waiter.priority === priority), 0);
  }

  send(priority: ReadPriority, maximumBytes: number): RunningRequest | undefined {
    for (const seed of this.#waiting) {
      if (seed.priority !== priority) continue;
      const place = this.#choice.choose(this.#blob(seed.device), seed.tried) ?? 0;
      const target = this.#places[place];
      const room = Math.min(MAXIMUM_BATCH, maximumBytes, target?.link.room(priority) ?? 0);
      if (target !== undefined && room > 0) return this.#start(seed, place, target, room);
    }
    return undefined;
  }

  /** Whoever waits gets SLUICE_CANCELLED. */
  close(): void {
    const reason = new UsageError('SLUICE_CANCELLED', 'Cannot read chunk: its image was closed');
    this.#closing.abort(reason);
    for (const waiter of this.#waiting.splice(0)) waiter.settle({ error: reason });
    for (const { request } of this.#batches) request.abort(reason);
  }

  #leave(waiter: Waiter): void {
    this.#waiting = this.#waiting.filter((other) => other !== waiter);
    for (const { waiters, request } of this.#batches) {
      const index = waiters.indexOf(waiter);
      if (index < 0) continue;
      waiters.splice(index, 1);
      if (waiters.length === 0) request.abort();
    }
  }

  #start(seed: Waiter, place: number, target: BatchPlace, bytes: number): RunningRequest {
    const { device } = seed;
    const { chunks } = this.#device(device);
    const wanted = this.#waiting.filter((waiter) => waiter.device === device && !waiter.tried.has(place));
    const comes = this.#coming(device);
    const waiters = neighbourRun(seed, wanted, chunks, { gap: target.link.meter.bridge, bytes, comes });
    const chosen = new Set(waiters);
    this.#waiting = this.#waiting.filter((waiter) => !chosen.has(waiter));
    const [first, last] = [waiters[0] ?? seed, waiters.at(-1) ?? seed];
    const end = chunks.compressedOffset(last.chunk) + chunks.compressedLength(last.chunk);
    const length = end - chunks.compressedOffset(first.chunk);
    const request = new RangeRequest(target, length, seed.priority, this.#scheduler.now);
    const batch = { device, place, request, waiters, chunks: this.#between(device, waiters) };
    void this.#probe(place, device, seed.chunk);
    return { request, done: this.#run(batch) };
  }

  async #run(batch: Batch): Promise<void> {
    const { device, place, request, waiters } = batch;
    const chunks = [...batch.chunks];
    const keeper = this.#keeper;
    const hasAlternative = waiters.some(({ tried }) => this.#choice.hasAlternative(place, this.#blob(device), tried));
    this.#batches.add(batch);
    const error = await request.run({ device, chunks }, hasAlternative, {
      delivered: (chunk, result) => this.#deliver(batch, chunk, result),
      received: (bytes) => this.#traffic.received(bytes),
      ...(keeper && { keep: (chunk, bytes) => keeper.keep(device, chunk, bytes) }),
    });
    this.#batches.delete(batch);
    if (waiters.length === 0) return;
    this.#fail(batch, waiters.splice(0), error ?? new Error('Cannot read chunk: its source ended without it'));
  }

  #deliver(batch: Batch, chunk: number, result: ChunkResult): void {
    const { device, place, waiters } = batch;
    batch.chunks.delete(chunk);
    const ready = waiters.filter((waiter) => waiter.chunk === chunk);
    for (const waiter of ready) waiters.splice(waiters.indexOf(waiter), 1);
    const [first] = ready;
    if (first === undefined) return;
    if ('error' in result) {
      this.#fail(batch, ready, result.error);
      return;
    }
    this.#choice.succeeded(place, this.#blob(device));
    this.#count(device, chunk, first.priority, this.#name(place));
    for (const waiter of ready) waiter.settle(result);
  }

  /** What is under way of a device. */
  #coming(device: number): (chunk: number) => boolean {
    const batches = [...this.#batches].filter((batch) => batch.device === device);
    return (chunk) => batches.some(({ chunks }) => chunks.has(chunk));
  }

  /** The chunks of a run, in order: those that are waited for, and what lies between them, if somebody keeps it. */
  #between(device: number, waiters: readonly Waiter[]): Set<number> {
    const chunks = new Set<number>();
    let next = waiters[0]?.chunk ?? 0;
    for (const { chunk } of waiters) {
      for (; next < chunk; next++) if (this.#keeper?.has(device, next) === false) chunks.add(next);
      chunks.add(chunk);
      next = chunk + 1;
    }
    return chunks;
  }

  #count(device: number, chunk: number, priority: ReadPriority, place: string): void {
    const { chunks } = this.#device(device);
    const uncompressedBytes = chunks.uncompressedLength(chunk);
    this.#traffic.fetched(priority, uncompressedBytes, place);
    if (!fetchChannels.chunk.hasSubscribers) return;
    const compressedBytes = chunks.compressedLength(chunk);
    const fetched = { device, chunk, compressedBytes, uncompressedBytes, priority, place };
    fetchChannels.chunk.publish(fetched satisfies ChunkFetched);
  }

  /** What `waiters` wanted did not come: they go on to places they have not tried, or get the error. */
  #fail({ device, place }: Batch, waiters: readonly Waiter[], error: unknown): void {
    const { aborted, reason } = this.#closing.signal;
    const isOurs = aborted || !(error instanceof SluiceError);
    if (!isOurs) this.#choice.failed(place, this.#blob(device), error);
    const again = waiters.filter((waiter) => {
      // With one place, wrong bytes are asked for once more: a cache on the way may have been wrong.
      const isOnceMore = this.#choice.count === 1 && isMismatch(error) && waiter.error === undefined;
      if (!isOnceMore) waiter.tried = new Set([...waiter.tried, place]);
      if (!(waiter.error instanceof SluiceError && waiter.error.retryable)) waiter.error = error;
      if (!isOurs && waiter.tried.size < this.#choice.count) return true;
      waiter.settle({ error: aborted ? reason : waiter.error });
      return false;
    });
    for (const { chunk, priority, tried } of again) {
      const retry = { device, chunk, attempt: tried.size, delayMs: 0, priority, place: this.#name(place), error };
      fetchChannels.retry.publish(retry satisfies FetchRetried);
    }
    this.#waiting.unshift(...again);
    this.#scheduler.schedule(this);
  }

  /** Nobody has to wait to learn whether a better place is back: a chunk is asked of it besides. */
  async #probe(chosen: number, device: number, chunk: number): Promise<void> {
    const blob = this.#blob(device);
    const place = this.#choice.takeProbe(chosen, blob);
    const target = place === undefined ? undefined : this.#places[place];
    if (place === undefined || target === undefined) return;
    const error = await probePlace(target, { device, chunks: [chunk] }, this.#closing.signal);
    if (error === undefined) this.#choice.succeeded(place, blob);
    else this.#choice.failed(place, blob, error);
    this.#choice.settle(place, blob);
  }

  #name(place: number): string {
    return this.#places[place]?.link.name ?? '';
  }

  #blob(device: number): string {
    return this.#device(device).descriptor.digest;
  }

  #device(index: number): BatchDevice {
    const device = this.#devices[index];
    if (device === undefined) throw new RangeError(`Cannot read device ${index}: there are ${this.#devices.length}`);
    return device;
  }
}

/** Whether other bytes came than were promised. */
function isMismatch(error: unknown): boolean {
  return error instanceof IntegrityError;
}
