import type { ChunkMap } from './chunk-map.ts';

/** Where a chunk lies among the devices of an image. */
export interface ChunkLocation {
  /** Index into the image's device table, from 0. */
  readonly device: number;
  /** Bytes. */
  readonly deviceOffset: number;
  /** Bytes. */
  readonly length: number;
}

/** The chunks an image holds so far, by digest. Of equal chunks the first one added counts. */
export class ChunkDict {
  readonly #locations = new Map<string, ChunkLocation>();

  /** Adds every chunk of a finished layer. */
  addDevice(device: number, chunks: ChunkMap): void {
    for (let i = 0; i < chunks.count; i++) {
      this.add(chunks.digest(i), {
        device,
        deviceOffset: chunks.uncompressedOffset(i),
        length: chunks.uncompressedLength(i),
      });
    }
  }

  /** @param digest - 32 bytes, not kept */
  add(digest: Uint8Array, location: ChunkLocation): void {
    const key = keyOf(digest);
    if (!this.#locations.has(key)) this.#locations.set(key, location);
  }

  /**
   * @param length - a known chunk of another length is not the same, whatever its map says the digest is
   */
  find(digest: Uint8Array, length: number): ChunkLocation | undefined {
    const location = this.#locations.get(keyOf(digest));
    return location?.length === length ? location : undefined;
  }
}

/** One character a byte: half the memory of hex, and Map compares it as fast. */
function keyOf(digest: Uint8Array): string {
  return Buffer.from(digest.buffer, digest.byteOffset, digest.byteLength).toString('latin1');
}
