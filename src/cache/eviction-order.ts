import { LRUCache } from 'lru-cache';

/** What the order has to know of a device. */
export interface OrderedDevice {
  /** Unique among the devices of one order, below 2^20. */
  readonly id: number;
  /** Tick of each chunk's last use, by any thread. */
  readonly lastUsed: Uint32Array;
}

/** A chunk in the order. */
export interface Candidate<D> {
  readonly device: D;
  readonly chunk: number;
}

const CHUNKS_PER_DEVICE = 2 ** 32;

/**
 * Which chunk to evict next: the least recently used of those this process knows.
 *
 * The main thread's own uses go straight into the order. Worker threads cannot reach it: they note the current tick
 * beside the chunk, and a candidate that was used since it was put in the order gets a second chance. A tick is one
 * use by the main thread, not a time: a worker's use is always told apart from the one before it, and no timer runs.
 */
export class EvictionOrder<D extends OrderedDevice> {
  readonly #order = new LRUCache<number, number>({ maxSize: Number.MAX_SAFE_INTEGER, sizeCalculation: () => 1 });
  readonly #devices = new Map<number, { device: D; placed: Uint32Array }>();
  /** Chunks that were there when their device was opened. Those used since are in the order as well. */
  readonly #unused = new Map<number, number[]>();
  /** Stored before anybody asked, the longest there first, and not used yet as far as the main thread knows. */
  readonly #ahead = new Set<number>();
  readonly #tick: Uint32Array;

  /** @param tick - one word, shared with the workers; this order alone writes to it */
  constructor(tick: Uint32Array) {
    this.#tick = tick;
    // 0 is the tick of what was never used.
    Atomics.store(tick, 0, 1);
  }

  /** @param chunks - those that are there and nobody used yet: they go before any that is used. Kept. */
  add(device: D, chunks: number[]): void {
    this.#devices.set(device.id, { device, placed: new Uint32Array(device.lastUsed.length) });
    this.#unused.set(device.id, chunks);
  }

  /** Forgets a device and its chunks. */
  remove(device: D): void {
    this.#devices.delete(device.id);
    this.#unused.delete(device.id);
    const first = device.id * CHUNKS_PER_DEVICE;
    for (let chunk = 0; chunk < device.lastUsed.length; chunk++) {
      this.#order.delete(first + chunk);
      this.#ahead.delete(first + chunk);
    }
  }

  /** Makes a chunk the most recently used one. Of a device that is not in the order, only the use is noted. */
  use(device: D, chunk: number): void {
    const tick = Atomics.load(this.#tick, 0);
    Atomics.store(device.lastUsed, chunk, tick);
    Atomics.add(this.#tick, 0, 1);
    const placed = this.#devices.get(device.id)?.placed;
    if (placed === undefined) return;
    placed[chunk] = tick;
    const key = device.id * CHUNKS_PER_DEVICE + chunk;
    this.#ahead.delete(key);
    this.#order.set(key, key);
  }

  /** Notes a chunk that was stored before anybody asked for it: it goes before all others until it is used. */
  expect(device: D, chunk: number): void {
    if (!this.#devices.has(device.id)) return;
    Atomics.store(device.lastUsed, chunk, 0);
    const key = device.id * CHUNKS_PER_DEVICE + chunk;
    this.#order.delete(key);
    this.#ahead.add(key);
  }

  /** Takes the next chunk to evict out of the order; undefined when it is empty. */
  take(): Candidate<D> | undefined {
    return this.#takeAhead() ?? this.#takeUnused() ?? this.#takeUsed();
  }

  #takeAhead(): Candidate<D> | undefined {
    for (const key of this.#ahead) {
      this.#ahead.delete(key);
      const device = this.#devices.get(Math.floor(key / CHUNKS_PER_DEVICE))?.device;
      if (device === undefined) continue;
      const chunk = key % CHUNKS_PER_DEVICE;
      if (Atomics.load(device.lastUsed, chunk) === 0) return { device, chunk };
      // A worker did.
      this.use(device, chunk);
    }
    return undefined;
  }

  #takeUnused(): Candidate<D> | undefined {
    for (const [id, chunks] of this.#unused) {
      const device = this.#devices.get(id)?.device;
      for (let chunk = chunks.pop(); chunk !== undefined; chunk = chunks.pop()) {
        if (device !== undefined && Atomics.load(device.lastUsed, chunk) === 0) return { device, chunk };
      }
      this.#unused.delete(id);
    }
    return undefined;
  }

  #takeUsed(): Candidate<D> | undefined {
    // Each pass of a candidate brings it up to date, so the second round ends unless workers use every chunk meanwhile.
    for (let chances = 2 * this.#order.size; ; chances--) {
      const key = this.#order.pop();
      if (key === undefined) return undefined;
      const known = this.#devices.get(Math.floor(key / CHUNKS_PER_DEVICE));
      if (known === undefined) continue;
      const { device, placed } = known;
      const chunk = key % CHUNKS_PER_DEVICE;
      if (chances <= 0 || Atomics.load(device.lastUsed, chunk) === placed[chunk]) return { device, chunk };
      this.use(device, chunk);
    }
  }
}
