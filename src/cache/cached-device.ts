import type { ChunkMap } from '../chunk/chunk-map.ts';
import { type DigestAlgorithm, hash } from '../digest/hash.ts';
import type { CacheViewDescriptor } from './cache-view.ts';
import { cacheChannels } from './channels.ts';
import type { ChunkRun, DeviceFiles } from './device-files.ts';
import { isPresent } from './generation.ts';

/** What a device asks of the cache it belongs to. */
export interface DeviceOwner {
  /** One u32: the tick of the eviction order. */
  readonly tick: SharedArrayBuffer;
  /** False while the disk is given time to recover. */
  isWritable(): boolean;
  used(device: CachedDevice, chunk: number): void;
  stored(device: CachedDevice, chunk: number): void;
  /** @param error - undefined when a lock could not be had in time */
  failed(device: CachedDevice, error: unknown): void;
  /** The device's last user is gone. */
  released(device: CachedDevice): void;
}

/** What a device is made of. */
export interface DeviceParts {
  readonly id: number;
  readonly blob: string;
  readonly chunks: ChunkMap;
  readonly algorithm: DigestAlgorithm;
  /** Taken over. */
  readonly files: DeviceFiles;
}

/**
 * The cached chunks of one device, on the main thread: what workers miss is loaded, verified and stored here.
 *
 * What was on disk before is hashed the first time this process uses it. Nothing is ever synced: a crash of the machine
 * can leave any bytes behind, and they are found out the same way. Shared by all who opened the device; each closes it.
 */
export class CachedDevice {
  readonly id: number;
  /** 64 hex digits. */
  readonly blob: string;
  readonly chunks: ChunkMap;
  /** Tick of each chunk's last use, by any thread. */
  readonly lastUsed: Uint32Array<SharedArrayBuffer>;
  readonly #algorithm: DigestAlgorithm;
  readonly #files: DeviceFiles;
  readonly #owner: DeviceOwner;
  readonly #verified: Uint32Array<SharedArrayBuffer>;
  #users = 1;
  #touchedAt = 0;

  constructor(parts: DeviceParts, owner: DeviceOwner) {
    this.id = parts.id;
    this.blob = parts.blob;
    this.chunks = parts.chunks;
    this.#algorithm = parts.algorithm;
    this.#files = parts.files;
    this.#owner = owner;
    this.#verified = sharedWords(parts.chunks.count);
    this.lastUsed = sharedWords(parts.chunks.count);
  }

  /** For the worker threads of this process: `new CacheView(device.view())`, while the device is open here. */
  view(): CacheViewDescriptor {
    return {
      dataFd: this.#files.dataFd,
      stateFd: this.#files.stateFd,
      chunks: this.chunks.buffer,
      verified: this.#verified.buffer,
      lastUsed: this.lastUsed.buffer,
      tick: this.#owner.tick,
    };
  }

  /** @returns the whole chunk, verified, in a buffer of the caller's; undefined when it has to be fetched */
  load(chunk: number): Uint8Array | undefined {
    try {
      const bytes = this.#load(chunk);
      if (bytes !== undefined) this.#owner.used(this, chunk);
      return bytes;
    } catch (error) {
      this.#owner.failed(this, error);
      return undefined;
    }
  }

  /**
   * Keeps a chunk for later reads. A cache that cannot take it (disk full or broken, lock held for too long) says so on
   * a channel and is left alone for a while: the caller has the bytes and goes on.
   * @param bytes - verified by the caller; not kept
   * @returns whether the chunk is in the cache now
   */
  store(chunk: number, bytes: Uint8Array): boolean {
    const length = this.chunks.uncompressedLength(chunk);
    if (bytes.length !== length)
      throw new RangeError(`Cannot store chunk ${chunk}: ${bytes.length} bytes, not ${length}`);
    if (this.#users === 0 || !this.#owner.isWritable()) return false;
    try {
      return this.#isVerified(chunk) || this.#store(chunk, bytes);
    } catch (error) {
      this.#owner.failed(this, error);
      return false;
    }
  }

  /** Chunks that are on disk now, verified or not. */
  present(): number[] {
    const chunks: number[] = [];
    for (const [chunk, generation] of this.#files.generations().entries()) {
      if (isPresent(generation)) chunks.push(chunk);
    }
    return chunks;
  }

  /**
   * Gives room back. Chunks another process evicted already count for nothing.
   * @returns bytes; undefined when the lock could not be had
   */
  evict(runs: readonly ChunkRun[]): number | undefined {
    const bytes = this.#files.evict(runs);
    if (bytes !== undefined && bytes > 0) cacheChannels.evicted.publish({ blob: this.blob, bytes });
    return bytes;
  }

  /** Marks the device's files as in use, when it was used since the last call. */
  touch(): void {
    const latest = this.lastUsed.reduce((a, b) => Math.max(a, b), 0);
    if (latest === this.#touchedAt) return;
    this.#touchedAt = latest;
    try {
      this.#files.touch();
    } catch (error) {
      this.#owner.failed(this, error);
    }
  }

  /** One more user, who closes it too. */
  retain(): this {
    this.#users++;
    return this;
  }

  /** Workers' views stay usable, and are theirs to close. */
  close(): void {
    if (this.#users === 0 || --this.#users > 0) return;
    this.#owner.released(this);
    this.#files.close();
  }

  #store(chunk: number, bytes: Uint8Array): boolean {
    const generation = this.#files.commit(chunk, bytes);
    if (generation === undefined) {
      this.#owner.failed(this, undefined);
      return false;
    }
    Atomics.store(this.#verified, chunk, generation);
    this.#owner.stored(this, chunk);
    return true;
  }

  #load(chunk: number): Uint8Array | undefined {
    // The numbers of closed descriptors may stand for other files by now.
    if (this.#users === 0) return undefined;
    const verified = this.#verified[chunk];
    const generation = this.#files.generation(chunk);
    if (!isPresent(generation)) return undefined;
    const bytes = this.#files.readData(chunk);
    if (bytes === undefined || this.#files.generation(chunk) !== generation) return undefined;
    if (generation === verified) return bytes;
    const good = Buffer.compare(hash(this.#algorithm, bytes), this.chunks.digest(chunk)) === 0;
    if (cacheChannels.verified.hasSubscribers) cacheChannels.verified.publish({ blob: this.blob, chunk, good });
    if (!good) {
      this.#files.drop(chunk, generation);
      return undefined;
    }
    Atomics.store(this.#verified, chunk, generation);
    return bytes;
  }

  #isVerified(chunk: number): boolean {
    const verified = this.#verified[chunk] ?? 0;
    return verified !== 0 && this.#files.generation(chunk) === verified;
  }
}

function sharedWords(count: number): Uint32Array<SharedArrayBuffer> {
  return new Uint32Array(new SharedArrayBuffer(count * Uint32Array.BYTES_PER_ELEMENT));
}
