import path from 'node:path';
import type { ChunkMap } from '../chunk/chunk-map.ts';
import type { DigestAlgorithm } from '../digest/hash.ts';
import { CacheError, type SluiceError } from '../errors.ts';
import { loadNative } from '../native.ts';
import { cacheError, translate } from './cache-error.ts';
import { CachedDevice, type ChunkUse, type DeviceOwner } from './cached-device.ts';
import { cacheChannels } from './channels.ts';
import { ChunkFinder, type FoundChunk } from './chunk-finder.ts';
import { DeviceFiles } from './device-files.ts';
import { deviceFolderName, deviceMapBytes, keepDeviceMap, readDeviceMap } from './device-map.ts';
import { ensureFolder, ensureRoot, isHeldByAnybody, listDevices, openDeviceFiles } from './directory.ts';
import { type CacheEngine, type CacheNative, cacheEngine } from './engine.ts';
import { Evictor } from './evictor.ts';
import { FileStore } from './file-store.ts';
import { type Pin, type PinRequest, Pins } from './pins.ts';
import { type Bounds, defaultMinimumFree, Room } from './room.ts';
import { type VerifiedDevice, verifyDevice } from './verify-device.ts';

/** How a cache is opened. */
export interface ChunkCacheOptions {
  /** Bound on the disk the whole cache uses, all processes together. Bytes. */
  readonly maximumBytes: number;
  /** What the cache leaves free on its disk. Bytes. Default: 2 GiB, or a twentieth of a small disk. */
  readonly minimumFreeBytes?: number | undefined;
  /** The addon's part; `null` does without even where it is built. Default: the addon, when it is there. */
  readonly native?: CacheNative | null;
}

/** A device in the cache, for people. */
export interface CachedBlob {
  /** Of its folder: the same blob can be there for images that cut it differently. */
  readonly name: string;
  /** 64 hex digits. */
  readonly blob: string;
  /** Bytes of disk in use. */
  readonly bytes: number;
  /** Milliseconds since the epoch, exact to a minute or so. */
  readonly lastUsedMs: number;
  /** Whether a process has it open; without the addon only this process is known of. */
  readonly isOpen: boolean;
  readonly isPinned: boolean;
}

/** How the cache is doing. Sizes are bytes. */
export interface CacheState extends Bounds {
  /** False: chunks are not kept at the moment. Reads go on. */
  readonly writable: boolean;
  /** Why not, in words. */
  readonly reason: string | undefined;
  /** In use, by all processes together. */
  readonly bytes: number;
  /** Free on the cache's disk. */
  readonly freeBytes: number;
}

/** A disk that failed is left alone for so long. */
const DISK_PAUSE_MS = 2_000;

/** A lock that could not be had has cost the main thread its 50 ms already: so often at most. */
const LOCK_PAUSE_MS = 500;

/** How often other processes hear what is in use here, and the bound is checked against what they stored. */
const HEARTBEAT_MS = 60_000;

/** A device unused for so many heartbeats by anybody goes before anything this process has open. */
const QUIET_MS = 10 * HEARTBEAT_MS;

/** One eviction makes this part of the bound free, so that not every chunk stored evicts another; at most 64 MiB. */
const EVICTION_SHARE = 1 / 16;
const MAXIMUM_EVICTION = 64 * 1024 * 1024;

/** The disk may give back less than a chunk's length; after so many rounds the next store tries again. */
const MAXIMUM_EVICTION_ROUNDS = 8;

/** How often it is looked whether the open devices' files are still in the cache. */
const LOOK_MS = 2_000;

/**
 * The on-disk cache of verified, uncompressed chunks, shared by every process that opens the same directory (ADR-0003).
 *
 * What it uses is measured, not recorded, so no crash can make the account wrong. Main thread only; worker threads read
 * through {@link CacheView}. Nothing that goes wrong with its disk is thrown once it is open: reads go on without it.
 */
export class ChunkCache implements DeviceOwner {
  readonly tick = new SharedArrayBuffer(Uint32Array.BYTES_PER_ELEMENT);
  /** Manifests, configs and bootstraps. */
  readonly files: FileStore;
  readonly #root: string;
  readonly #folder: string;
  readonly #engine: CacheEngine;
  readonly #devices = new Map<string, CachedDevice>();
  readonly #finder: ChunkFinder;
  readonly #pins: Pins;
  readonly #evictor: Evictor;
  readonly #room: Room;
  readonly #heartbeat: NodeJS.Timeout;
  #nextId = 0;
  #resumeAt = 0;
  #lookAt = 0;
  /** Why chunks are not kept; undefined when they are. */
  #trouble: SluiceError | undefined;

  private constructor(root: string, engine: CacheEngine, options: ChunkCacheOptions) {
    const { maximumBytes, minimumFreeBytes = defaultMinimumFree(root) } = options;
    this.#root = root;
    this.#engine = engine;
    this.#folder = path.join(root, engine.folder);
    ensureFolder(this.#folder);
    this.#finder = new ChunkFinder(this.#folder, this.#devices);
    this.#pins = new Pins(path.join(this.#folder, 'pins'));
    this.files = new FileStore(path.join(this.#folder, 'files'), maximumBytes, () => this.#pins.files());
    const { tick } = this;
    const devices = this.#devices;
    this.#evictor = new Evictor({ folder: this.#folder, engine, devices, pins: this.#pins, tick, quietMs: QUIET_MS });
    this.#room = new Room(this.#folder, { maximumBytes, minimumFreeBytes }, () => this.usage());
    this.#heartbeat = setInterval(() => this.#beat(), HEARTBEAT_MS).unref();
  }

  /**
   * Opens the cache in `directory`, made (0700) when missing, of which only this user may be able to write.
   * @throws {CacheError} SLUICE_CACHE_UNSAFE, SLUICE_CACHE_IO, SLUICE_CACHE_FULL
   */
  static open(directory: string, options: ChunkCacheOptions): ChunkCache {
    const native = options.native === undefined ? loadNative() : (options.native ?? undefined);
    return translate(directory, () => new ChunkCache(ensureRoot(directory), cacheEngine(native), options));
  }

  /**
   * Opens the cache of one device. Opening it again gives the same one; each opening is closed by itself.
   * A disk that cannot take it does not matter: nothing is kept then, until it can.
   * @param blob - 64 hex digits: the layer blob's SHA-256
   * @throws {CacheError} SLUICE_CACHE_UNSAFE
   */
  openDevice(blob: string, chunks: ChunkMap, algorithm: DigestAlgorithm): CachedDevice {
    const map = deviceMapBytes({ chunks, algorithm });
    const name = deviceFolderName(blob, map);
    const known = this.#devices.get(name)?.retain();
    if (known !== undefined) return known;
    const files = this.#openFiles(name, chunks, map);
    const device = new CachedDevice({ id: this.#nextId++, name, blob, chunks, algorithm, files }, this);
    this.#devices.set(name, device);
    this.#evictor.opened(device);
    this.#finder.opened();
    return device;
  }

  /** Bytes of disk in use now, by all processes. */
  usage(): number {
    return this.#deviceUsage() + this.files.usage();
  }

  /** Looks at the disk; when it was in trouble, looks whether it still is. */
  state(): CacheState {
    if (this.#trouble?.code === 'SLUICE_CACHE_FULL' && performance.now() >= this.#resumeAt) this.admits(0);
    const { bounds } = this.#room;
    try {
      this.#reattach();
      const { bytes, freeBytes } = this.#room.measure();
      const reason = this.#trouble?.message;
      return { writable: reason === undefined, reason, bytes, freeBytes, ...bounds };
    } catch (error) {
      const reason = cacheError(error, this.#folder).message;
      return { writable: false, reason, bytes: 0, freeBytes: 0, ...bounds };
    }
  }

  /**
   * Evicts until at most `maximumBytes` are in use: chunks first, then files. What is pinned stays, and files that a
   * mount needs.
   * @returns bytes in use then
   */
  async prune(maximumBytes: number): Promise<number> {
    this.#shrink(this.usage(), maximumBytes);
    if (this.usage() > maximumBytes) await this.files.trim(Math.max(0, maximumBytes - this.#deviceUsage()));
    this.#resumeAt = 0;
    return this.usage();
  }

  list(): CachedBlob[] {
    const pinned = this.#pins.devices();
    return listDevices(this.#folder).map(({ name, blob, bytes, lastUsedMs, path: devicePath }) => ({
      name,
      blob,
      bytes,
      lastUsedMs,
      isOpen: this.#devices.has(name) || isHeldByAnybody(devicePath, this.#engine),
      isPinned: pinned.has(name),
    }));
  }

  /**
   * Hashes every local chunk of every device, and drops the wrong ones: who has them open misses them, and fetches them
   * anew. One device at a time, as the caller asks for them.
   */
  async *verify(signal?: AbortSignal): AsyncGenerator<VerifiedDevice> {
    for (const { name, blob, path: devicePath, bytes } of listDevices(this.#folder)) {
      const map = this.#devices.get(name) ?? readDeviceMap(devicePath);
      if (map === undefined) {
        yield { blob, chunks: 0, bytes, bad: 0, isKnown: false };
        continue;
      }
      const device = this.openDevice(blob, map.chunks, map.algorithm);
      try {
        yield await verifyDevice(device, signal);
      } finally {
        device.close();
      }
    }
  }

  /**
   * Keeps everybody from evicting an image. Nothing is fetched.
   * @throws {CacheError} SLUICE_PIN_TOO_LARGE when the pinned images, all of them local, would not fit the cache;
   *   SLUICE_CACHE_IO, SLUICE_CACHE_FULL
   */
  async pin(request: PinRequest): Promise<void> {
    try {
      await this.#pins.add(request, this.#room.bounds.maximumBytes);
    } catch (error) {
      throw cacheError(error, request.reference);
    }
  }

  /** Lets an image be evicted again. @param root - of a pin of {@link ChunkCache.pins} */
  unpin(root: string): void {
    translate(root, () => this.#pins.remove(root));
  }

  pins(): Pin[] {
    return this.#pins.list();
  }

  /** The devices are closed by those who opened them, before or after. */
  close(): void {
    clearInterval(this.#heartbeat);
  }

  admits(bytes: number): boolean {
    if (performance.now() < this.#resumeAt) return false;
    if (this.#room.take(bytes)) return true;
    try {
      return this.#makeRoom(bytes);
    } catch (error) {
      this.failed(undefined, error);
      return false;
    }
  }

  find(device: CachedDevice, chunk: number): FoundChunk | undefined {
    return this.#finder.find(device, chunk);
  }

  used(device: CachedDevice, chunk: number): void {
    this.#evictor.used(device, chunk);
  }

  stored(device: CachedDevice, chunk: number, use: ChunkUse): void {
    this.#trouble = undefined;
    if (use === 'demand') this.#evictor.used(device, chunk);
    else this.#evictor.expected(device, chunk);
    if (!cacheChannels.stored.hasSubscribers) return;
    cacheChannels.stored.publish({ blob: device.blob, chunk, bytes: device.chunks.uncompressedLength(chunk) });
  }

  failed(device: CachedDevice | undefined, cause: unknown): void {
    this.#resumeAt = performance.now() + (cause === undefined ? LOCK_PAUSE_MS : DISK_PAUSE_MS);
    this.#trouble = cacheError(cause, device?.blob ?? this.#folder);
    cacheChannels.failed.publish({ blob: device?.blob, error: this.#trouble });
  }

  unreadable(device: CachedDevice, cause: unknown): void {
    // Of a broken disk every read would say so.
    if (this.#trouble !== undefined) return;
    this.#trouble = cacheError(cause, device.blob);
    cacheChannels.failed.publish({ blob: device.blob, error: this.#trouble });
  }

  released(device: CachedDevice): void {
    this.#evictor.closed(device);
    this.#devices.delete(device.name);
  }

  #openFiles(name: string, chunks: ChunkMap, map: Uint8Array): DeviceFiles {
    const folder = path.join(this.#folder, name);
    try {
      return this.#openNow(folder, chunks, map);
    } catch (cause) {
      const error = cacheError(cause, folder);
      if (error.code === 'SLUICE_CACHE_UNSAFE') throw error;
      this.failed(undefined, error);
      return DeviceFiles.readOnly(folder, chunks, this.#engine);
    }
  }

  #openNow(folder: string, chunks: ChunkMap, map: Uint8Array): DeviceFiles {
    const files = new DeviceFiles(openDeviceFiles(folder, this.#engine), chunks, this.#engine);
    try {
      keepDeviceMap(folder, map);
    } catch {
      // A full disk. The device works without, and whoever opens it next tries again.
    }
    return files;
  }

  #deviceUsage(): number {
    return listDevices(this.#folder).reduce((sum, { bytes }) => sum + bytes, 0);
  }

  #beat(): void {
    for (const device of this.#devices.values()) device.touch();
    this.files.renew();
    this.admits(0);
  }

  /** Brings the cache so far below its limit that `bytes` fit; false, and said so, when that cannot be. */
  #makeRoom(bytes: number): boolean {
    this.#reattach();
    const measured = this.#room.measure();
    const { limit } = measured;
    if (this.#room.grant(measured, bytes)) return this.#isFine();
    const step = Math.min(limit * EVICTION_SHARE, MAXIMUM_EVICTION);
    const left = this.#shrink(measured.bytes, limit - Math.max(step, bytes));
    if (this.#room.grant({ ...measured, bytes: left }, bytes)) return this.#isFine();
    const { freeBytes, bytes: used } = this.#room.measure();
    const facts = { bytes: used, freeBytes, ...this.#room.bounds };
    const why = `no room: ${used} bytes in use, ${freeBytes} free on the disk`;
    this.failed(
      undefined,
      new CacheError('SLUICE_CACHE_FULL', `Cannot use cache of "${this.#folder}": ${why}`, { facts }),
    );
    return false;
  }

  #isFine(): true {
    // A disk that cannot be written to may have room all the same: a chunk that is stored tells.
    if (this.#trouble?.code !== 'SLUICE_CACHE_IO') this.#trouble = undefined;
    return true;
  }

  /** Somebody may have removed the cache, or parts of it, or the disk could not take a device when it was opened. */
  #reattach(): void {
    if (performance.now() < this.#lookAt) return;
    this.#lookAt = performance.now() + LOOK_MS;
    ensureRoot(this.#root);
    ensureFolder(this.#folder);
    ensureFolder(path.join(this.#folder, 'files'));
    for (const device of this.#devices.values()) {
      if (device.isOfUse()) continue;
      const folder = path.join(this.#folder, device.name);
      device.reattach(this.#openNow(folder, device.chunks, deviceMapBytes(device)));
      this.#trouble = undefined;
    }
  }

  /** Evicts until at most `target` bytes are in use, of `usage`. @returns bytes in use then */
  #shrink(usage: number, target: number): number {
    let left = usage;
    for (let round = 0; round < MAXIMUM_EVICTION_ROUNDS && left > target; round++) {
      this.#evictor.evict(left - target);
      const now = this.usage();
      if (now >= left) break;
      left = now;
    }
    return left;
  }
}
