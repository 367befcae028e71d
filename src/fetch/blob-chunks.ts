import type { ChunkMap } from '../chunk/chunk-map.ts';
import { type DigestAlgorithm, hash } from '../digest/hash.ts';
import { IntegrityError, RegistryError } from '../errors.ts';
import type { BlobPlace, Descriptor } from '../oci/image.ts';
import { decompressFor, loadZstd } from '../zstd/codec.ts';
import { type ChunkMismatched, fetchChannels } from './channels.ts';
import { type BatchObserver, type BatchSource, type ChunkBatch, type ChunkResult, keptChunk } from './fetch-store.ts';
import { frames } from './frames.ts';

/** One device of an image, as it lies in a registry. */
export interface BlobDevice {
  readonly descriptor: Descriptor;
  readonly chunks: ChunkMap;
}

/** The image whose blobs are read. */
export interface BlobImage {
  /** For messages. Holds no credentials. */
  readonly reference: string;
  readonly algorithm: DigestAlgorithm;
  readonly devices: readonly BlobDevice[];
}

/**
 * Chunks straight from the blobs of one place: range request, frame, decompress, hash. The only place where bytes of the
 * network become verified bytes.
 */
export class BlobChunks implements BatchSource {
  readonly #place: BlobPlace;
  readonly #image: BlobImage;

  constructor(place: BlobPlace, image: BlobImage) {
    this.#place = place;
    this.#image = image;
  }

  async readBatch(batch: ChunkBatch, observer: BatchObserver, signal: AbortSignal): Promise<void> {
    const device = this.#device(batch.device);
    const { chunks, descriptor } = device;
    await loadZstd('decompress');
    const wanted = batch.chunks.map((chunk) => ({
      offset: chunks.compressedOffset(chunk),
      length: chunks.compressedLength(chunk),
    }));
    const start = wanted[0]?.offset ?? 0;
    const last = wanted.at(-1);
    const end = last === undefined ? start : last.offset + last.length;
    let delivered = 0;
    const stream = this.#place.readBlob(descriptor, { start, end }, signal);
    for await (const frame of frames(stream, start, wanted, (bytes) => observer.received(bytes))) {
      const chunk = batch.chunks[delivered++] ?? 0;
      observer.delivered(chunk, this.#open(batch.device, chunk, frame, observer));
    }
    if (delivered === wanted.length) return;
    throw new RegistryError(
      'SLUICE_REGISTRY_RANGE',
      `Cannot fetch bytes ${start}-${end - 1} of blob "${descriptor.digest}" from "${this.#place.name}": the answer ends early`,
      { facts: { image: this.#image.reference, place: this.#place.name, blob: descriptor.digest, start, end } },
    );
  }

  /** @throws {RangeError} when the image has no such device */
  #device(index: number): BlobDevice {
    const device = this.#image.devices[index];
    if (device === undefined)
      throw new RangeError(`Cannot read device ${index}: there are ${this.#image.devices.length}`);
    return device;
  }

  #open(index: number, chunk: number, frame: Uint8Array, observer: BatchObserver): ChunkResult {
    const { chunks } = this.#device(index);
    let actual = '';
    let cause: unknown;
    try {
      const bytes = decompressFor(frame, chunks.uncompressedLength(chunk), (content) => {
        const digest = hash(this.#image.algorithm, content);
        if (Buffer.compare(digest, chunks.digest(chunk)) === 0)
          return observer.keep?.(chunk, content) === true ? keptChunk : content.slice();
        actual = Buffer.from(digest).toString('hex');
        return undefined;
      });
      if (bytes !== undefined) return { bytes };
    } catch (error) {
      // A frame that does not decode is as wrong as one with other content: another copy may be right.
      actual = 'not a zstd frame of that length';
      cause = error;
    }
    const error = this.#mismatch(index, chunk, actual, cause);
    this.#place.distrust?.(this.#device(index).descriptor);
    fetchChannels.mismatch.publish({ device: index, chunk, place: this.#place.name, error } satisfies ChunkMismatched);
    return { error };
  }

  #mismatch(index: number, chunk: number, actual: string, cause: unknown): IntegrityError {
    const { chunks, descriptor } = this.#device(index);
    const expected = Buffer.from(chunks.digest(chunk)).toString('hex');
    return new IntegrityError(
      'SLUICE_CHUNK_DIGEST_MISMATCH',
      `Cannot use chunk ${chunk} of blob "${descriptor.digest}" from "${this.#place.name}": want ${this.#image.algorithm} ${expected}, got ${actual}`,
      {
        cause,
        facts: {
          image: this.#image.reference,
          place: this.#place.name,
          blob: descriptor.digest,
          chunk,
          expected,
          actual,
          uncompressedOffset: chunks.uncompressedOffset(chunk),
          compressedOffset: chunks.compressedOffset(chunk),
          compressedLength: chunks.compressedLength(chunk),
        },
      },
    );
  }
}
