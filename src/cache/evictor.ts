import type { CachedDevice } from './cached-device.ts';
import { cacheChannels } from './channels.ts';
import type { ChunkRun } from './device-files.ts';
import { type DeviceEntry, listDevices } from './directory.ts';
import type { CacheEngine } from './engine.ts';
import { EvictionOrder } from './eviction-order.ts';
import type { Pins } from './pins.ts';
import { evictStranger } from './stranger.ts';

/** What an evictor is made of. */
export interface EvictorParts {
  /** Of the devices. */
  readonly folder: string;
  readonly engine: CacheEngine;
  /** Those that are open here, by name; read at each call. */
  readonly devices: ReadonlyMap<string, CachedDevice>;
  readonly pins: Pins;
  readonly tick: SharedArrayBuffer;
  /** A device unused for so long by anybody goes before anything that is open here. */
  readonly quietMs: number;
}

/**
 * Decides what goes when room is needed, and takes it away: what has been quiet for long, then this process's own
 * chunks, least recently used first, then what others use: they evict their own too. What is pinned stays.
 */
export class Evictor {
  readonly #parts: EvictorParts;
  readonly #order: EvictionOrder<CachedDevice>;
  /** Devices open here that are not in the order, because they were pinned when it was last used. */
  readonly #kept = new Set<CachedDevice>();

  constructor(parts: EvictorParts) {
    this.#parts = parts;
    this.#order = new EvictionOrder(new Uint32Array(parts.tick));
  }

  opened(device: CachedDevice): void {
    this.#order.add(device, device.present());
  }

  closed(device: CachedDevice): void {
    this.#order.remove(device);
    this.#kept.delete(device);
  }

  used(device: CachedDevice, chunk: number): void {
    this.#order.use(device, chunk);
  }

  /** A chunk was stored that nobody asked for yet. */
  expected(device: CachedDevice, chunk: number): void {
    this.#order.expect(device, chunk);
  }

  /** Gives back `bytes`, or less when there is no more. */
  evict(bytes: number): void {
    const pinned = this.#parts.pins.devices();
    this.#sortOut(pinned);
    const quietSince = Date.now() - this.#parts.quietMs;
    const strangers = listDevices(this.#parts.folder)
      .filter(({ name }) => !this.#parts.devices.has(name) && !pinned.has(name))
      .sort((a, b) => a.lastUsedMs - b.lastUsedMs);
    const quiet = strangers.filter(({ lastUsedMs }) => lastUsedMs < quietSince);
    let missing = this.#evictStrangers(quiet, bytes);
    if (missing > 0) missing -= this.#evictOwn(missing);
    if (missing > 0) this.#evictStrangers(strangers.slice(quiet.length), missing);
  }

  /** Takes devices out of the order that were pinned, by any process, and puts back those that are not any more. */
  #sortOut(pinned: ReadonlyMap<string, number>): void {
    for (const device of this.#parts.devices.values()) {
      if (pinned.has(device.name) === this.#kept.has(device)) continue;
      if (this.#kept.delete(device)) {
        this.opened(device);
      } else {
        this.#order.remove(device);
        this.#kept.add(device);
      }
    }
  }

  /** @returns bytes still missing */
  #evictStrangers(strangers: readonly DeviceEntry[], bytes: number): number {
    let missing = bytes;
    for (const entry of strangers) {
      if (missing <= 0) break;
      const freed = evictStranger(entry, this.#parts.engine);
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
    for (const device of this.#parts.devices.values()) {
      for (const chunk of device.present()) this.#order.use(device, chunk);
    }
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
