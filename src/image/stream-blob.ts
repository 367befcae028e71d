import { BLOB_TRAILER_SIZE, SKIPPABLE_HEADER_SIZE, sectionLimits } from '../blob/format.ts';
import type { BlobMetadata } from '../blob/metadata.ts';
import { parseBlobMetadata } from '../blob/reader.ts';
import type { ChunkMap } from '../chunk/chunk-map.ts';
import { verifyStream } from '../digest/verified-stream.ts';
import { FormatError } from '../errors.ts';
import { frames } from '../fetch/frames.ts';
import type { BlobSource, Descriptor } from '../oci/image.ts';

/** Stops a manifest from having any length of bytes collected behind the chunks. */
const maximumMetadataLength =
  SKIPPABLE_HEADER_SIZE + BLOB_TRAILER_SIZE + Object.values(sectionLimits).reduce((sum, limit) => sum + limit, 0);

/**
 * Reads a layer blob from its first byte to its last, verifying its digest: the way to metadata that can be trusted, for
 * no digest but the blob's covers it.
 *
 * @param chunks - of the image's bootstrap
 * @param onFrame - each chunk's frame in order, not verified; valid during the call only
 * @returns the metadata, views of a buffer of its own
 * @throws {IntegrityError} SLUICE_DIGEST_MISMATCH, SLUICE_SIZE_MISMATCH; frames that lie whole in what came before are
 *   out by then
 * @throws {FormatError} SLUICE_BLOB_INVALID and others of `parseBlobMetadata()`, for a blob whose digest is right
 * @throws what the source throws
 */
export async function streamBlob(
  source: BlobSource,
  descriptor: Descriptor,
  chunks: ChunkMap,
  onFrame: (chunk: number, frame: Uint8Array) => void,
  signal?: AbortSignal,
): Promise<BlobMetadata> {
  const offset = chunks.compressedSize;
  const length = descriptor.size - offset;
  if (!(length > 0 && length <= maximumMetadataLength)) {
    throw new FormatError('SLUICE_BLOB_INVALID', `Cannot read blob ${descriptor.digest}: ${length} bytes of metadata`);
  }
  const places = [...chunkPlaces(chunks), { offset, length }];
  const stream = verifyStream(source.readBlob(descriptor, undefined, signal), descriptor, `blob ${descriptor.digest}`);
  // Without `return`, so that it is not closed behind the last frame: the verdict comes at its end.
  const open: AsyncIterable<Uint8Array> = { [Symbol.asyncIterator]: () => ({ next: () => stream.next() }) };
  let metadata: Uint8Array | undefined;
  try {
    let next = 0;
    for await (const frame of frames(open, 0, places)) {
      if (next < chunks.count) onFrame(next, frame);
      else metadata = Uint8Array.from(frame);
      next++;
    }
    for await (const _ of open);
  } finally {
    await stream.return(undefined);
  }
  // A stream of the right size and digest has had them all.
  return parseBlobMetadata(metadata ?? new Uint8Array(0), descriptor.size);
}

function chunkPlaces(chunks: ChunkMap): { offset: number; length: number }[] {
  return Array.from({ length: chunks.count }, (_, i) => ({
    offset: chunks.compressedOffset(i),
    length: chunks.compressedLength(i),
  }));
}
