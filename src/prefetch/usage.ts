import { chunkKey } from '../fetch/fetch-store.ts';

/** The use that readers make of a device: tick of each chunk's last use, by any thread. */
export interface UsedDevice {
  readonly lastUsed: Uint32Array;
}

interface Fetched {
  readonly device: number;
  readonly chunk: number;
  readonly bytes: number;
  /** When it was stored, which counts as a use of its own. */
  readonly tick: number;
}

/** Keeps the score: what was prefetched, and what of it somebody read. All bytes are compressed. */
export class Usage {
  readonly #devices: readonly UsedDevice[];
  /** Prefetched, and not yet seen to be read. Bounded by the budget. */
  readonly #unread = new Map<number, Fetched>();
  /** Read by somebody who found it on its way. */
  readonly #joined = new Set<number>();
  #fetchedBytes = 0;
  #usedBytes = 0;

  /** @param devices - in the order of the bootstrap's */
  constructor(devices: readonly UsedDevice[]) {
    this.#devices = devices;
  }

  get fetchedBytes(): number {
    return this.#fetchedBytes;
  }

  /** Looks at what was read since it was last asked. */
  usedBytes(): number {
    for (const [key, fetched] of this.#unread) {
      if (this.#tick(fetched.device, fetched.chunk) !== fetched.tick) this.#use(key, fetched.bytes);
    }
    return this.#usedBytes;
  }

  /** A chunk was asked for, and is on its way or there. */
  fetched(device: number, chunk: number, bytes: number): void {
    const key = chunkKey(device, chunk);
    this.#fetchedBytes += bytes;
    if (this.#joined.delete(key)) this.#usedBytes += bytes;
    else this.#unread.set(key, { device, chunk, bytes, tick: this.#tick(device, chunk) });
  }

  /** Somebody waits for a chunk that is prefetched at the moment. */
  join(device: number, chunk: number): void {
    this.#joined.add(chunkKey(device, chunk));
  }

  #use(key: number, bytes: number): void {
    this.#unread.delete(key);
    this.#usedBytes += bytes;
  }

  #tick(device: number, chunk: number): number {
    const ticks = this.#devices[device]?.lastUsed;
    return ticks === undefined ? 0 : Atomics.load(ticks, chunk);
  }
}
