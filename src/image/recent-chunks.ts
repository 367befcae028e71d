import type { ChunkStore } from '../bootstrap/chunk-store.ts';

/** Bytes of chunks kept, about: several neighbours of the files that are being read. */
const defaultBytes = 32 << 20;

/**
 * Keeps the last few chunks in memory. Small files share a chunk: who reads a tree file by file asks for each many
 * times in a row.
 */
export class RecentChunks implements ChunkStore {
  readonly #below: ChunkStore;
  readonly #maximumBytes: number;
  /** Oldest first. What is on its way counts nothing yet. */
  readonly #kept = new Map<string, { readonly read: Promise<Uint8Array>; bytes: number }>();
  #bytes = 0;

  constructor(below: ChunkStore, maximumBytes: number = defaultBytes) {
    this.#below = below;
    this.#maximumBytes = maximumBytes;
  }

  /** A read that others wait for too is not aborted by the signal of the first. */
  async read(device: number, chunk: number, signal?: AbortSignal): Promise<Uint8Array> {
    signal?.throwIfAborted();
    const key = `${device}/${chunk}`;
    const known = this.#kept.get(key);
    if (known !== undefined) {
      this.#kept.delete(key);
      this.#kept.set(key, known);
      return known.read;
    }
    const entry = { read: this.#below.read(device, chunk), bytes: 0 };
    this.#kept.set(key, entry);
    try {
      const bytes = await entry.read;
      if (this.#kept.get(key) !== entry) return bytes;
      entry.bytes = bytes.length;
      this.#bytes += bytes.length;
      this.#trim();
      return bytes;
    } catch (error) {
      if (this.#kept.get(key) === entry) this.#kept.delete(key);
      throw error;
    }
  }

  /** Lets go of all of them, those that are on their way included. */
  clear(): void {
    this.#kept.clear();
    this.#bytes = 0;
  }

  #trim(): void {
    for (const [key, { bytes }] of this.#kept) {
      if (this.#bytes <= this.#maximumBytes) return;
      if (bytes === 0) continue;
      this.#bytes -= bytes;
      this.#kept.delete(key);
    }
  }
}
