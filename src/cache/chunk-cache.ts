import path from 'node:path';
import type { ChunkMap } from '../chunk/chunk-map.ts';
import { createHasher, type DigestAlgorithm } from '../digest/hash.ts';
import { CacheError, SluiceError } from '../errors.ts';
import { loadNative } from '../native.ts';
import { CachedDevice, type DeviceOwner } from './cached-device.ts';
import { cacheChannels } from './channels.ts';
import { type ChunkRun, DeviceFiles } from './device-files.ts';
import { type DeviceEntry, ensureFolder, ensureRoot, listDevices, openDeviceFiles } from './directory.ts';
import { type CacheEngine, type CacheNative, cacheEngine } from './engine.ts';
import { EvictionOrder } from './eviction-order.ts';
import { FileStore } from './file-store.ts';
import { evictStranger } from './stranger.ts';

/** How a cache is opened. */
export interface ChunkCacheOptions {
  /** Bound on the disk the whole cache uses, all processes together. Bytes. */
  readonly maximumBytes: number;
  /** The addon's part; `null` does without even where it is built. Default: the addon, when it is there. */
  readonly native?: CacheNative | null;
}

/** A device in the cache, for people. */
export interface CachedBlob {
  /** 64 hex digits. */
  readonly blob: string;
  /** Bytes of disk in use. */
  readonly bytes: number;
  /** Milliseconds since the epoch, exact to a minute or so. */
  readonly lastUsedMs: number;
  /** Whether this process has it open. */
  readonly isOpen: boolean;
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

/** This part of what is free may be stored before the disk is asked again: other processes store too. */
const UNMEASURED_SHARE = 1 / 8;

/** The disk may give back less than a chunk's length; after so many rounds the next store tries again. */
const MAXIMUM_EVICTION_ROUNDS = 8;

/**
 * The on-disk cache of verified, uncompressed chunks, shared by every process that opens the same directory (ADR-0003).
 *
 * What it uses is measured, not recorded, so no crash can make the account wrong. Main thread only; worker threads read
 * through {@link CacheView}.
 */
export class ChunkCache implements DeviceOwner {
  readonly tick = new SharedArrayBuffer(Uint32Array.BYTES_PER_ELEMENT);
  /** Manifests, configs and bootstraps. */
  readonly files: FileStore;
  readonly #folder: string;
  readonly #engine: CacheEngine;
  readonly #maximumBytes: number;
  readonly #devices = new Map<string, CachedDevice>();
  readonly #order = new EvictionOrder<CachedDevice>(new Uint32Array(this.tick));
  readonly #heartbeat: NodeJS.Timeout;
  #nextId = 0;
  /** Bytes that may be stored before usage is measured again. */
  #room = 0;
  #resumeAt = 0;

  private constructor(root: string, engine: CacheEngine, maximumBytes: number) {
    this.#engine = engine;
    this.#maximumBytes = maximumBytes;
    this.#folder = path.join(root, engine.folder);
    ensureFolder(this.#folder);
    this.files = new FileStore(path.join(this.#folder, 'files'), maximumBytes);
    this.#heartbeat = setInterval(() => this.#beat(), HEARTBEAT_MS).unref();
  }

  /**
   * Opens the cache in `directory`, made (0700) when missing, of which only this user may be able to write.
   * @throws {CacheError} SLUICE_CACHE_UNSAFE, SLUICE_CACHE_IO, SLUICE_CACHE_FULL
   */
  static open(directory: string, options: ChunkCacheOptions): ChunkCache {
    const native = options.native === undefined ? loadNative() : (options.native ?? undefined);
    return translate(directory, () => new ChunkCache(ensureRoot(directory), cacheEngine(native), options.maximumBytes));
  }

  /**
   * Opens the cache of one device. Opening it again gives the same one; each opening is closed by itself.
   * @param blob - 64 hex digits: the layer blob's SHA-256
   * @throws {CacheError} SLUICE_CACHE_UNSAFE, SLUICE_CACHE_IO, SLUICE_CACHE_FULL, SLUICE_CACHE_LOCKED
   */
  openDevice(blob: string, chunks: ChunkMap, algorithm: DigestAlgorithm): CachedDevice {
    const name = `${blob}-${mapDigest(chunks, algorithm)}`;
    const known = this.#devices.get(name)?.retain();
    if (known !== undefined) return known;
    const folder = path.join(this.#folder, name);
    const files = translate(folder, () => new DeviceFiles(openDeviceFiles(folder, this.#engine), chunks, this.#engine));
    const device = new CachedDevice({ id: this.#nextId++, blob, chunks, algorithm, files }, this);
    this.#devices.set(name, device);
    this.#order.add(device, device.present());
    return device;
  }

  /** Bytes of disk in use now, by all processes. */
  usage(): number {
    return this.#deviceUsage() + this.files.usage();
  }

  /** Evicts until at most `maximumBytes` are in use: chunks first, then files. @returns bytes in use then */
  async prune(maximumBytes: number): Promise<number> {
    this.#shrink(maximumBytes, maximumBytes);
    if (this.usage() > maximumBytes) await this.files.trim(Math.max(0, maximumBytes - this.#deviceUsage()));
    this.#resumeAt = 0;
    return this.usage();
  }

  list(): CachedBlob[] {
    return listDevices(this.#folder).map(({ name, blob, bytes, lastUsedMs }) => ({
      blob,
      bytes,
      lastUsedMs,
      isOpen: this.#devices.has(name),
    }));
  }

  /** The devices are closed by those who opened them, before or after. */
  close(): void {
    clearInterval(this.#heartbeat);
  }

  isWritable(): boolean {
    return performance.now() >= this.#resumeAt;
  }

  used(device: CachedDevice, chunk: number): void {
    this.#order.use(device, chunk);
  }

  stored(device: CachedDevice, chunk: number): void {
    const bytes = device.chunks.uncompressedLength(chunk);
    this.#order.use(device, chunk);
    if (cacheChannels.stored.hasSubscribers) cacheChannels.stored.publish({ blob: device.blob, chunk, bytes });
    this.#room -= bytes;
    if (this.#room <= 0) this.#balance();
  }

  failed(device: CachedDevice | undefined, cause: unknown): void {
    this.#resumeAt = performance.now() + (cause === undefined ? LOCK_PAUSE_MS : DISK_PAUSE_MS);
    cacheChannels.failed.publish({ blob: device?.blob, error: cacheError(cause, device?.blob ?? this.#folder) });
  }

  released(device: CachedDevice): void {
    this.#order.remove(device);
    for (const [name, known] of this.#devices) if (known === device) this.#devices.delete(name);
  }

  #deviceUsage(): number {
    return listDevices(this.#folder).reduce((sum, { bytes }) => sum + bytes, 0);
  }

  #beat(): void {
    for (const device of this.#devices.values()) device.touch();
    if (this.isWritable()) this.#balance();
  }

  /** Brings the cache below its bound, and decides when to look again. */
  #balance(): void {
    try {
      const step = Math.min(this.#maximumBytes * EVICTION_SHARE, MAXIMUM_EVICTION);
      const usage = this.#shrink(this.#maximumBytes, this.#maximumBytes - step);
      this.#room = (this.#maximumBytes - usage) * UNMEASURED_SHARE;
    } catch (error) {
      this.failed(undefined, error);
    }
  }

  /** When more than `limit` is in use, evicts until at most `target` is. @returns bytes in use then */
  #shrink(limit: number, target: number): number {
    let usage = this.usage();
    if (usage <= limit) return usage;
    for (let round = 0; round < MAXIMUM_EVICTION_ROUNDS && usage > target; round++) {
      this.#evict(usage - target);
      const left = this.usage();
      if (left >= usage) break;
      usage = left;
    }
    return usage;
  }

  /** What has been quiet for long, then our own least recently used, then what others use: they evict their own too. */
  #evict(bytes: number): void {
    const quietSince = Date.now() - QUIET_MS;
    const strangers = listDevices(this.#folder)
      .filter(({ name }) => !this.#devices.has(name))
      .sort((a, b) => a.lastUsedMs - b.lastUsedMs);
    const quiet = strangers.filter(({ lastUsedMs }) => lastUsedMs < quietSince);
    let missing = this.#evictStrangers(quiet, bytes);
    if (missing > 0) missing -= this.#evictOwn(missing);
    if (missing > 0) this.#evictStrangers(strangers.slice(quiet.length), missing);
  }

  /** @returns bytes still missing */
  #evictStrangers(strangers: readonly DeviceEntry[], bytes: number): number {
    let missing = bytes;
    for (const entry of strangers) {
      if (missing <= 0) break;
      const freed = evictStranger(entry, this.#engine);
      missing -= freed;
      if (freed > 0) cacheChannels.evicted.publish({ blob: entry.blob, bytes: freed });
    }
    return missing;
  }

  /** @returns bytes given back */
  #evictOwn(bytes: number): number {
    let freed = 0;
    let discovered = false;
    while (freed < bytes) {
      const chosen = this.#choose(bytes - freed);
      if (chosen.size === 0 && discovered) break;
      if (chosen.size === 0) {
        discovered = true;
        this.#discover();
      }
      const evicted = this.#evictChosen(chosen);
      if (evicted === undefined) break;
      freed += evicted;
    }
    return freed;
  }

  /** @returns bytes given back, 0 when other processes were quicker; undefined when a lock could not be had */
  #evictChosen(chosen: ReadonlyMap<CachedDevice, readonly number[]>): number | undefined {
    let freed: number | undefined = 0;
    for (const [device, chunks] of chosen) {
      const evicted = device.evict(joinNeighbours(chunks));
      freed = evicted === undefined || freed === undefined ? undefined : freed + evicted;
      if (evicted === undefined) for (const chunk of chunks) this.#order.use(device, chunk);
    }
    return freed;
  }

  #choose(bytes: number): Map<CachedDevice, number[]> {
    const chosen = new Map<CachedDevice, number[]>();
    for (let missing = bytes; missing > 0; ) {
      const candidate = this.#order.take();
      if (candidate === undefined) break;
      const { device, chunk } = candidate;
      const chunks = chosen.get(device);
      if (chunks === undefined) chosen.set(device, [chunk]);
      else chunks.push(chunk);
      missing -= device.chunks.uncompressedLength(chunk);
    }
    return chosen;
  }

  /** Other processes may have stored chunks into devices that are open here too. */
  #discover(): void {
    for (const device of this.#devices.values()) for (const chunk of device.present()) this.#order.use(device, chunk);
  }
}

function joinNeighbours(chunks: readonly number[]): ChunkRun[] {
  const runs: { first: number; last: number }[] = [];
  for (const chunk of chunks.toSorted((a, b) => a - b)) {
    const run = runs.at(-1);
    if (run !== undefined && chunk <= run.last + 1) run.last = chunk;
    else runs.push({ first: chunk, last: chunk });
  }
  return runs;
}

/** 128 bits that stand for everything two readers of one blob have to agree on to share its chunks. */
function mapDigest(chunks: ChunkMap, algorithm: DigestAlgorithm): string {
  const digest = createHasher('sha256').update(Buffer.from(algorithm)).update(chunks.serialise()).digest();
  return Buffer.from(digest.subarray(0, 16)).toString('hex');
}

function translate<T>(folder: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw cacheError(error, folder);
  }
}

function cacheError(cause: unknown, what: string): SluiceError {
  if (cause instanceof SluiceError) return cause;
  if (cause === undefined) {
    return new CacheError('SLUICE_CACHE_LOCKED', `Cannot write to cache of "${what}": another process holds its lock`);
  }
  const errno = (cause as NodeJS.ErrnoException).code;
  const code = errno === 'ENOSPC' || errno === 'EDQUOT' ? 'SLUICE_CACHE_FULL' : 'SLUICE_CACHE_IO';
  return new CacheError(code, `Cannot use cache of "${what}": ${errno ?? String(cause)}`, { cause });
}
