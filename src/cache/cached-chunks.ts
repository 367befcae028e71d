import type { ChunkStore, LocalChunkStore } from '../bootstrap/chunk-store.ts';
import { CacheError } from '../errors.ts';
import type { CachedDevice, ChunkUse } from './cached-device.ts';

/** A cache so small, or so busy, that a chunk is gone each time before it could be read. */
const MAXIMUM_ATTEMPTS = 8;

/**
 * Looks into the cache before it asks another store: a chunk that is in the cache is not asked for again, and neither is one that another
 * blob in the cache has.
 */
export class CachedChunks implements LocalChunkStore {
  readonly #devices: readonly CachedDevice[];
  readonly #below: ChunkStore;
  readonly #use: ChunkUse;

  /**
   * @param below - may keep what it fetches in `devices` itself, and give no bytes then
   * @param devices - in the order of the bootstrap's devices; they stay the caller's
   * @param use - `ahead` for a reader that wants chunks before anybody asked for them
   */
  constructor(devices: readonly CachedDevice[], below: ChunkStore, use: ChunkUse = 'demand') {
    this.#devices = devices;
    this.#below = below;
    this.#use = use;
  }

  async read(device: number, chunk: number, signal?: AbortSignal): Promise<Uint8Array> {
    const cached = this.#device(device);
    for (let attempt = 1; ; attempt++) {
      const local = cached.load(chunk, this.#use) ?? cached.copy(chunk, this.#use);
      if (local !== undefined) return local;
      const bytes = await this.#below.read(device, chunk, signal);
      if (bytes.length > 0) {
        cached.store(chunk, bytes, this.#use);
        return bytes;
      }
      // It was kept as it came, and may have been evicted since.
      if (attempt === MAXIMUM_ATTEMPTS) throw evicted(cached, chunk);
    }
  }

  async bring(device: number, chunk: number, signal?: AbortSignal): Promise<Uint8Array | undefined> {
    const cached = this.#device(device);
    if (cached.isReady(chunk)) return undefined;
    const local = cached.load(chunk, this.#use) ?? cached.copy(chunk, this.#use);
    if (local !== undefined) return cached.isReady(chunk) ? undefined : local;
    const bytes = await this.#below.read(device, chunk, signal);
    return bytes.length === 0 || cached.store(chunk, bytes, this.#use) ? undefined : bytes;
  }

  #device(index: number): CachedDevice {
    const device = this.#devices[index];
    if (device === undefined) throw new RangeError(`Cannot read device ${index}: there are ${this.#devices.length}`);
    return device;
  }
}

function evicted({ blob }: CachedDevice, chunk: number): CacheError {
  return new CacheError(
    'SLUICE_CACHE_FULL',
    `Cannot read chunk ${chunk} of blob "sha256:${blob}": it is evicted as soon as it is kept`,
    { facts: { blob, chunk } },
  );
}
