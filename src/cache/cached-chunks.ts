import type { ChunkStore } from '../bootstrap/chunk-store.ts';
import type { CachedDevice } from './cached-device.ts';

/** Keeps what another store gives: a chunk that is in the cache is not asked for again. */
export class CachedChunks implements ChunkStore {
  readonly #devices: readonly CachedDevice[];
  readonly #below: ChunkStore;

  /** @param devices - in the order of the bootstrap's devices; they stay the caller's */
  constructor(devices: readonly CachedDevice[], below: ChunkStore) {
    this.#devices = devices;
    this.#below = below;
  }

  async read(device: number, chunk: number, signal?: AbortSignal): Promise<Uint8Array> {
    const cached = this.#devices[device];
    if (cached === undefined) throw new RangeError(`Cannot read device ${device}: there are ${this.#devices.length}`);
    const local = cached.load(chunk);
    if (local !== undefined) return local;
    const bytes = await this.#below.read(device, chunk, signal);
    cached.store(chunk, bytes);
    return bytes;
  }
}
