import type { DeviceMap } from './device-map.ts';

/** Where a chunk may be: its device's folder still has to be asked. */
export interface IndexedChunk {
  /** Name of the device's folder. */
  readonly name: string;
  readonly chunk: number;
  /** Where it begins in the device image. */
  readonly offset: number;
}

interface IndexedDevice {
  readonly algorithm: DeviceMap['algorithm'];
  /** Sorted: 31 bits of the digest, then the chunk's number in 22. */
  readonly keys: Float64Array;
  /** Of each chunk, in the order of the device: where it begins. */
  readonly pages: Uint32Array;
}

/** A chunk map holds at most this many, so that a key is a safe integer. */
const CHUNKS_PER_DEVICE = 2 ** 22;

const PAGE_SIZE = 4096;

/** The index takes 12 bytes a chunk: 12 MiB at most, whatever lies in the cache. */
const MAXIMUM_CHUNKS = 2 ** 20;

/**
 * Which devices have a chunk of some digest in their maps. Whether it is local is not kept here, where it would be
 * wrong as soon as another process stores or evicts: the generation in the device's state file says so.
 *
 * Only 31 bits of a digest are kept. What is found by them is hashed before it is used.
 */
export class DigestIndex {
  readonly #devices = new Map<string, IndexedDevice>();
  #count = 0;

  /** Folders that are in the index. */
  get names(): string[] {
    return [...this.#devices.keys()];
  }

  has(name: string): boolean {
    return this.#devices.has(name);
  }

  /** @returns false when the index is full */
  add(name: string, { chunks, algorithm }: DeviceMap): boolean {
    if (this.#count + chunks.count > MAXIMUM_CHUNKS) return false;
    const keys = new Float64Array(chunks.count);
    const pages = new Uint32Array(chunks.count);
    for (let chunk = 0; chunk < chunks.count; chunk++) {
      keys[chunk] = firstKey(chunks.digest(chunk)) + chunk;
      pages[chunk] = chunks.uncompressedOffset(chunk) / PAGE_SIZE;
    }
    this.#devices.set(name, { algorithm, keys: keys.sort(), pages });
    this.#count += chunks.count;
    return true;
  }

  remove(name: string): void {
    this.#count -= this.#devices.get(name)?.keys.length ?? 0;
    this.#devices.delete(name);
  }

  /** The latest added folder first. @param digest - 32 bytes, by `algorithm` */
  find(digest: Uint8Array, algorithm: DeviceMap['algorithm']): IndexedChunk[] {
    const first = firstKey(digest);
    const found: IndexedChunk[] = [];
    for (const [name, device] of this.#devices) {
      if (device.algorithm !== algorithm) continue;
      const { keys, pages } = device;
      for (let i = lowerBound(keys, first); ; i++) {
        const chunk = (keys[i] ?? Number.NaN) - first;
        if (!(chunk < CHUNKS_PER_DEVICE)) break;
        found.push({ name, chunk, offset: (pages[chunk] ?? 0) * PAGE_SIZE });
      }
    }
    return found.reverse();
  }
}

function firstKey(digest: Uint8Array): number {
  const [a = 0, b = 0, c = 0, d = 0] = digest;
  return (((a & 0x7f) << 24) | (b << 16) | (c << 8) | d) * CHUNKS_PER_DEVICE;
}

/** The first place whose key is not below `key`. */
function lowerBound(keys: Float64Array, key: number): number {
  let [low, high] = [0, keys.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((keys[middle] ?? 0) < key) low = middle + 1;
    else high = middle;
  }
  return low;
}
