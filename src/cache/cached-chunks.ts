import type { ChunkStore } from '../bootstrap/chunk-store.ts';
import type { CachedDevice, ChunkUse } from './cached-device.ts';

/**
 * Keeps what another store gives: a chunk that is in the cache is not asked for again, and neither is one that another
 * blob in the cache has.
 */
export class CachedChunks implements ChunkStore {
  readonly #devices: readonly CachedDevice[];
  readonly #below: ChunkStore;
  readonly #use: ChunkUse;

  /**
   * @param devices - in the order of the bootstrap's devices; they stay the caller's
   * @param use - `ahead` for a reader that wants chunks before anybody asked for them
   */
  constructor(devices: readonly CachedDevice[], below: ChunkStore, use: ChunkUse = 'demand') {
    this.#devices = devices;
    this.#below = below;
    this.#use = use;
  }

  async read(device: number, chunk: number, signal?: AbortSignal): Promise<Uint8Array> {
    const cached = this.#devices[device];
    if (cached === undefined) throw new RangeError(`Cannot read device ${device}: there are ${this.#devices.length}`);
    const local = cached.load(chunk, this.#use) ?? cached.copy(chunk, this.#use);
    if (local !== undefined) return local;
    const bytes = await this.#below.read(device, chunk, signal);
    cached.store(chunk, bytes, this.#use);
    return bytes;
  }
}
