import { setImmediate as turn } from 'node:timers/promises';
import type { LocalChunkStore } from '../bootstrap/chunk-store.ts';
import { UsageError } from '../errors.ts';
import { FillGate } from './fill-gate.ts';
import { type BoundedCache, FillRoom } from './fill-room.ts';
import type { CountedDevice, LocalContent } from './local-content.ts';

/** How an image is filled. */
export interface FillOptions {
  /**
   * `eager`: somebody waits for it, so it fails when a chunk cannot be had or the cache cannot hold the image.
   * `background`: nobody does, so it goes on for ever, stays within the room that the cache has, and evicts nothing.
   */
  readonly kind: 'eager' | 'background';
  /** Compressed. Default: as fast as it goes. */
  readonly bytesPerSecond?: number | undefined;
}

/** What a fill is doing. */
export interface FillState {
  /** `full`: it waits for the cache to have room for the rest. `retrying`: it waits before it tries again. */
  readonly phase: 'idle' | 'filling' | 'paused' | 'full' | 'retrying' | 'failed' | 'done';
  readonly kind: FillOptions['kind'];
  readonly bytesPerSecond: number | undefined;
  /** Why it is `retrying` or `failed`. */
  readonly error: unknown;
}

/** What a fill works on. All of it stays the caller's. */
export interface FillParts {
  /** For messages. */
  readonly reference: string;
  /** In the order of the bootstrap's. */
  readonly devices: readonly CountedDevice[];
  /** Of these devices. */
  readonly local: LocalContent;
  /** Keep what they read. In the background that is below everybody else; an eager fill only lets readers go first. */
  readonly chunks: Readonly<Record<FillOptions['kind'], LocalChunkStore>>;
  readonly cache: BoundedCache;
}

/** After failures, doubled each time: a registry that is away for hours is asked once a minute. */
const FIRST_PAUSE_MS = 1_000;
const MAXIMUM_PAUSE_MS = 60_000;

/** How often a fill that found the cache full looks again. */
const FULL_PAUSE_MS = 30_000;

/** Chunks that need no network are copied one after the other; the event loop, with what others miss, gets its turn. */
const TURN_MS = 4;

/**
 * Fetches what of an image is not in the cache, device by device in the order of the blobs. What is there is neither
 * read nor hashed, so a fill that was interrupted goes on where it was.
 */
export class Fill {
  readonly #parts: FillParts;
  readonly #abort = new AbortController();
  readonly #gate = new FillGate(this.#abort.signal);
  readonly #room: FillRoom;
  #kind: FillOptions['kind'] = 'background';
  #phase: Exclude<FillState['phase'], 'paused'> = 'idle';
  #done = Promise.resolve();
  /** Of the last chunk that was answered; undefined when it came. */
  #failure: { readonly error: unknown } | undefined;
  #error: unknown;
  #pauseMs = FIRST_PAUSE_MS;

  constructor(parts: FillParts) {
    this.#parts = parts;
    this.#room = new FillRoom(parts.reference, parts.cache, parts.local);
  }

  get state(): FillState {
    const { isPaused, rate } = this.#gate;
    const phase = isPaused && this.#isRunning ? 'paused' : this.#phase;
    return { phase, kind: this.#kind, bytesPerSecond: rate, error: this.#error };
  }

  /**
   * Settles when the fill that was started last is over: all of the image was local then. Fulfilled where none was.
   * A fill in the background rejects for the second reason only.
   * @throws {CacheError} SLUICE_CACHE_FULL when the cache cannot hold the image
   * @throws {UsageError} SLUICE_CANCELLED when the mount has ended
   * @throws what fetching throws
   */
  get done(): Promise<void> {
    return this.#done;
  }

  /** Begins, or begins again. One that is under way goes on as it is asked to now. */
  start({ kind, bytesPerSecond }: FillOptions): void {
    const wasRunning = this.#isRunning;
    this.#kind = kind;
    this.setRate(bytesPerSecond);
    this.resume();
    if (wasRunning) return;
    this.#phase = 'filling';
    this.#forget();
    this.#done = this.#run();
    // Whoever waits for it is told; nobody has to.
    this.#done.catch(() => undefined);
  }

  /** What is under way still comes. */
  pause(): void {
    this.#gate.isPaused = true;
  }

  resume(): void {
    this.#gate.isPaused = false;
  }

  /** @param bytesPerSecond - compressed; undefined for as fast as it goes */
  setRate(bytesPerSecond: number | undefined): void {
    this.#gate.rate = bytesPerSecond;
  }

  /** Ends it for good. */
  close(): void {
    this.#abort.abort(
      new UsageError('SLUICE_CANCELLED', `Cannot fill "${this.#parts.reference}": its mount has ended`),
    );
  }

  get #isRunning(): boolean {
    return this.#phase === 'filling' || this.#phase === 'full' || this.#phase === 'retrying';
  }

  async #run(): Promise<void> {
    const { local } = this.#parts;
    try {
      if (this.#kind === 'eager') this.#room.check();
      for (let missing = local.missingBytes; missing > 0; ) {
        const failed = await this.#pass();
        const before = missing;
        missing = local.missingBytes;
        if (failed || missing < before) continue;
        if (this.#kind === 'eager') throw this.#room.error('the cache does not keep what was fetched');
        await this.#waitForRoom();
      }
      this.#phase = 'done';
    } catch (error) {
      this.#phase = 'failed';
      this.#error = error;
      throw error;
    }
  }

  /** Asks for all that is missing, once. @returns whether some of it could not be had */
  async #pass(): Promise<boolean> {
    const { devices, local } = this.#parts;
    let failed = false;
    let turnedAt = performance.now();
    for (const [device, { chunks }] of devices.entries()) {
      for (const chunk of local.missing(device)) {
        const settled = await this.#admit(chunks.compressedLength(chunk), chunks.uncompressedLength(chunk));
        void this.#read(device, chunk, settled).then((came) => {
          failed ||= !came;
        });
        if (performance.now() - turnedAt < TURN_MS) continue;
        await turn();
        turnedAt = performance.now();
      }
    }
    await this.#gate.drained();
    await this.#pauseAfterFailure();
    return failed;
  }

  /** Waits until a chunk may be asked for. @returns what to call when it was answered */
  async #admit(compressed: number, uncompressed: number): Promise<() => void> {
    await this.#pauseAfterFailure();
    let taken = 0;
    if (this.#kind === 'background') {
      while (!this.#room.take(uncompressed)) {
        if (this.#gate.isIdle) await this.#waitForRoom();
        else await this.#gate.drained();
      }
      taken = uncompressed;
    }
    await this.#gate.enter(compressed);
    return () => {
      this.#room.settled(taken);
      this.#gate.leave(compressed);
    };
  }

  /** @returns whether it came. Never rejects. */
  async #read(device: number, chunk: number, settled: () => void): Promise<boolean> {
    try {
      await this.#parts.chunks[this.#kind].bring(device, chunk, this.#abort.signal);
      if (this.#kind === 'background') this.#forget();
      return true;
    } catch (error) {
      this.#failure = { error };
      return false;
    } finally {
      settled();
    }
  }

  #forget(): void {
    this.#failure = undefined;
    this.#error = undefined;
    this.#pauseMs = FIRST_PAUSE_MS;
  }

  /** Does nothing when the last answer was a chunk. @throws the error that an eager fill met */
  async #pauseAfterFailure(): Promise<void> {
    if (this.#failure === undefined) return;
    await this.#gate.drained();
    // Meanwhile others may have come.
    if (this.#failure === undefined) return;
    const { error } = this.#failure;
    if (this.#kind === 'eager') throw error;
    this.#failure = undefined;
    this.#error = error;
    this.#phase = 'retrying';
    await this.#gate.rest(this.#pauseMs);
    this.#pauseMs = Math.min(MAXIMUM_PAUSE_MS, 2 * this.#pauseMs);
    this.#phase = 'filling';
  }

  async #waitForRoom(): Promise<void> {
    this.#phase = 'full';
    do await this.#gate.rest(FULL_PAUSE_MS);
    while (!this.#room.fitsAll());
    this.#phase = 'filling';
  }
}
