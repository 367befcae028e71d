import { createHash, type Hash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { type Digest, digestFromBytes } from '../oci/digest.ts';
import type { Descriptor } from '../oci/image.ts';
import { mediaType } from '../oci/media-types.ts';

/** A layer as a file, complete: a registry wants digest and size before the first byte. */
export interface LayerFile {
  readonly descriptor: Descriptor;
  readonly diffId: Digest;
  /** Bytes. */
  readonly tarSize: number;
  /** Opens it from its start. */
  readonly content: () => AsyncIterable<Uint8Array>;
}

/** Written to the file at once: tar headers are small, and each piece costs a hop to the thread that compresses. */
const pieceSize = 256 * 1024;

/**
 * Compresses a tar into a file, hashing both on the way. Memory does not grow with the layer.
 * @param path - a new file, the caller's to remove
 */
export async function writeLayerFile(
  tar: AsyncIterable<Uint8Array>,
  path: string,
  signal?: AbortSignal,
): Promise<LayerFile> {
  const plain = new Tally();
  const compressed = new Tally();
  await pipeline(
    Readable.from(plain.count(joinPieces(tar)), { objectMode: true, highWaterMark: 2 }),
    createGzip(),
    (stream: AsyncIterable<Uint8Array>) => compressed.count(stream),
    createWriteStream(path, { flags: 'wx', mode: 0o600 }),
    ...(signal === undefined ? [] : [{ signal }]),
  );
  return {
    descriptor: { mediaType: mediaType.ociLayerGzip, digest: compressed.digest(), size: compressed.size },
    diffId: plain.digest(),
    tarSize: plain.size,
    content: () => createReadStream(path, { highWaterMark: 1 << 20 }),
  };
}

/** Copies pieces, which are only lent, together into larger ones. */
async function* joinPieces(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let buffer = Buffer.allocUnsafe(pieceSize);
  let filled = 0;
  for await (const piece of pieces) {
    for (let done = 0; done < piece.length; ) {
      const count = Math.min(piece.length - done, buffer.length - filled);
      buffer.set(piece.subarray(done, done + count), filled);
      filled += count;
      done += count;
      if (filled < buffer.length) continue;
      yield buffer;
      buffer = Buffer.allocUnsafe(pieceSize);
      filled = 0;
    }
  }
  if (filled > 0) yield buffer.subarray(0, filled);
}

/** Size and digest of what flows through. */
class Tally {
  readonly #hash: Hash = createHash('sha256');
  size = 0;

  async *count(stream: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const bytes of stream) {
      this.#hash.update(bytes);
      this.size += bytes.length;
      yield bytes;
    }
  }

  digest(): Digest {
    return digestFromBytes(this.#hash.digest());
  }
}
