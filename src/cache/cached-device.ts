import type { ChunkMap } from '../chunk/chunk-map.ts';
import { type DigestAlgorithm, hash } from '../digest/hash.ts';
import type { CacheViewDescriptor } from './cache-view.ts';
import { cacheChannels } from './channels.ts';
import type { FoundChunk } from './chunk-finder.ts';
import type { ChunkRun, DeviceFiles } from './device-files.ts';
import { isPresent } from './generation.ts';

/** Whether somebody waits for a chunk, or will want it: what is read ahead and never used is evicted first. */
export type ChunkUse = 'demand' | 'ahead';

/** What a device asks of the cache it belongs to. */
export interface DeviceOwner {
  /** One u32: the tick of the eviction order. */
  readonly tick: SharedArrayBuffer;
  /** Makes room. False when there is none, or while the disk is given time to recover. */
  admits(bytes: number): boolean;
  /** Looks for a chunk in all other devices. */
  find(device: CachedDevice, chunk: number): FoundChunk | undefined;
  used(device: CachedDevice, chunk: number): void;
  /** @param use - `ahead`: nobody asked for the chunk yet */
  stored(device: CachedDevice, chunk: number, use: ChunkUse): void;
  /** A read failed, and the chunk counts as missing. */
  unreadable(device: CachedDevice, error: unknown): void;
  /** @param error - undefined when a lock could not be had in time */
  failed(device: CachedDevice, error: unknown): void;
  /** The device's last user is gone. */
  released(device: CachedDevice): void;
}

/** What a device is made of. */
export interface DeviceParts {
  readonly id: number;
  readonly name: string;
  readonly blob: string;
  readonly chunks: ChunkMap;
  readonly algorithm: DigestAlgorithm;
  /** Taken over. */
  readonly files: DeviceFiles;
}

interface LoadedChunk {
  readonly bytes: Uint8Array;
  readonly generation: number;
}

/**
 * The cached chunks of one device, on the main thread: what workers miss is loaded, verified and stored here.
 *
 * What was on disk before is hashed the first time this process uses it. Nothing is ever synced: a crash of the machine
 * can leave any bytes behind, and they are found out the same way. Shared by all who opened the device; each closes it.
 */
export class CachedDevice {
  readonly id: number;
  /** Of its folder. */
  readonly name: string;
  /** 64 hex digits. */
  readonly blob: string;
  readonly chunks: ChunkMap;
  /** Tick of each chunk's last use, by any thread. */
  readonly lastUsed: Uint32Array<SharedArrayBuffer>;
  /** Of the chunks. */
  readonly algorithm: DigestAlgorithm;
  #files: DeviceFiles;
  readonly #owner: DeviceOwner;
  #verified: Uint32Array<SharedArrayBuffer>;
  #users = 1;
  #touchedAt = 0;

  constructor(parts: DeviceParts, owner: DeviceOwner) {
    this.id = parts.id;
    this.name = parts.name;
    this.blob = parts.blob;
    this.chunks = parts.chunks;
    this.algorithm = parts.algorithm;
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

  /** @returns the whole chunk, verified, in a buffer of the caller's; undefined when it is not here */
  load(chunk: number, use: ChunkUse = 'demand'): Uint8Array | undefined {
    try {
      const bytes = this.#load(chunk)?.bytes;
      if (bytes !== undefined && use === 'demand') this.#owner.used(this, chunk);
      return bytes;
    } catch (error) {
      this.#owner.unreadable(this, error);
      return undefined;
    }
  }

  /**
   * The same chunk from another blob's device, kept here too when that is possible.
   * @returns as {@link CachedDevice.load}
   */
  copy(chunk: number, use: ChunkUse = 'demand'): Uint8Array | undefined {
    if (this.#users === 0) return undefined;
    let found: FoundChunk | undefined;
    try {
      found = this.#owner.find(this, chunk);
      if (found === undefined) return undefined;
      this.store(chunk, found.bytes, use, found);
      const { bytes, blob: from } = found;
      if (cacheChannels.copied.hasSubscribers) {
        cacheChannels.copied.publish({ blob: this.blob, chunk, bytes: bytes.length, from });
      }
      return bytes;
    } catch (error) {
      this.#owner.unreadable(this, error);
      return undefined;
    } finally {
      found?.close();
    }
  }

  /** A chunk of this device, for another one that lacks it. Counts as no use. */
  find(chunk: number): FoundChunk | undefined {
    const loaded = this.#load(chunk);
    if (loaded === undefined) return undefined;
    const { bytes, generation } = loaded;
    const files = this.#files;
    return {
      bytes,
      blob: this.blob,
      dataFd: files.dataFd,
      offset: this.chunks.uncompressedOffset(chunk),
      isStillThere: () => files.generation(chunk) === generation,
      close: () => undefined,
    };
  }

  /**
   * Hashes what lies on disk, also when that was done before. A bad chunk is dropped, and fetched again when it is read.
   * @returns undefined when the chunk is not there
   */
  check(chunk: number): boolean | undefined {
    if (this.#users === 0) return undefined;
    const found = this.#read(chunk);
    if (found === undefined) return undefined;
    const good = this.isContent(chunk, found.bytes);
    if (!good) this.#files.drop(chunk, found.generation);
    return good;
  }

  /** Whether `bytes` are what the chunk's digest says. */
  isContent(chunk: number, bytes: Uint8Array): boolean {
    return Buffer.compare(hash(this.algorithm, bytes), this.chunks.digest(chunk)) === 0;
  }

  /**
   * Keeps a chunk for later reads. A cache that cannot take it (disk full or broken, lock held for too long) says so on
   * a channel and is left alone for a while: the caller has the bytes and goes on.
   * @param bytes - verified by the caller; not kept
   * @param found - where the same bytes lie already
   * @returns whether the chunk is in the cache now
   */
  store(chunk: number, bytes: Uint8Array, use: ChunkUse = 'demand', found?: FoundChunk): boolean {
    const length = this.chunks.uncompressedLength(chunk);
    if (bytes.length !== length)
      throw new RangeError(`Cannot store chunk ${chunk}: ${bytes.length} bytes, not ${length}`);
    if (this.#users === 0) return false;
    try {
      // First of all: it may find that the files are gone, and put others in their place.
      if (!this.#owner.admits(length)) return false;
      return this.#isVerified(chunk) || (this.#files.isWritable && this.#store(chunk, bytes, use, found));
    } catch (error) {
      this.#owner.failed(this, error);
      return false;
    }
  }

  /** Whether a chunk is here, verified by this process: {@link readInto} and the threads' views can have it. */
  isReady(chunk: number): boolean {
    try {
      return this.#users > 0 && this.#isVerified(chunk);
    } catch (error) {
      this.#owner.unreadable(this, error);
      return false;
    }
  }

  /**
   * Fills `target` with a part of a chunk that {@link isReady}. Counts as a use.
   * @param offset - in the chunk, bytes
   * @returns false when it is not ready, and `target` holds rubbish then
   */
  readInto(chunk: number, offset: number, target: Uint8Array): boolean {
    if (!this.isReady(chunk)) return false;
    try {
      const isRead = this.#files.readInto(chunk, offset, target) && this.#isVerified(chunk);
      if (isRead) this.#owner.used(this, chunk);
      return isRead;
    } catch (error) {
      this.#owner.unreadable(this, error);
      return false;
    }
  }

  /** Whether a chunk is on disk now, verified or not. */
  has(chunk: number): boolean {
    try {
      return this.#users > 0 && isPresent(this.#files.generation(chunk));
    } catch {
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

  /** False: it has to be reattached before anything can be stored. */
  isOfUse(): boolean {
    return this.#files.isOfUse();
  }

  /**
   * Goes on with other files, because those it had are gone from the cache. Views that workers have keep the old ones,
   * and the table of what was verified in them, which nothing is added to any more.
   * @param files - taken over
   */
  reattach(files: DeviceFiles): void {
    this.#verified.fill(0);
    this.#verified = sharedWords(this.chunks.count);
    this.#files.close();
    this.#files = files;
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

  #store(chunk: number, bytes: Uint8Array, use: ChunkUse, found: FoundChunk | undefined): boolean {
    const generation = this.#files.commit(chunk, bytes, found);
    if (generation === undefined) {
      this.#owner.failed(this, undefined);
      return false;
    }
    Atomics.store(this.#verified, chunk, generation);
    this.#owner.stored(this, chunk, use);
    return true;
  }

  #load(chunk: number): LoadedChunk | undefined {
    // The numbers of closed descriptors may stand for other files by now.
    if (this.#users === 0) return undefined;
    const verified = this.#verified[chunk];
    const found = this.#read(chunk);
    if (found === undefined || found.generation === verified) return found;
    const good = this.isContent(chunk, found.bytes);
    if (cacheChannels.verified.hasSubscribers) cacheChannels.verified.publish({ blob: this.blob, chunk, good });
    if (!good) {
      this.#files.drop(chunk, found.generation);
      return undefined;
    }
    Atomics.store(this.#verified, chunk, found.generation);
    return found;
  }

  /** What is on disk under a generation that stood before and after. */
  #read(chunk: number): LoadedChunk | undefined {
    const generation = this.#files.generation(chunk);
    if (!isPresent(generation)) return undefined;
    const bytes = this.#files.readData(chunk);
    return bytes !== undefined && this.#files.generation(chunk) === generation ? { bytes, generation } : undefined;
  }

  #isVerified(chunk: number): boolean {
    const verified = this.#verified[chunk] ?? 0;
    return verified !== 0 && this.#files.generation(chunk) === verified;
  }
}

function sharedWords(count: number): Uint32Array<SharedArrayBuffer> {
  return new Uint32Array(new SharedArrayBuffer(count * Uint32Array.BYTES_PER_ELEMENT));
}
