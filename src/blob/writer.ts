import { digestCode } from '../chunk/digest-code.ts';
import { hash } from '../digest/hash.ts';
import { digestHex } from '../oci/digest.ts';
import { compress } from '../zstd/codec.ts';
import { skippableFrame } from '../zstd/frame.ts';
import { ColumnWriter } from './column.ts';
import { writeEntries } from './entry-writer.ts';
import { BLOB_MAGIC, BLOB_TRAILER_SIZE, BLOB_VERSION, blobTrailer } from './format.ts';
import type { BlobMetadata } from './metadata.ts';

/** Measured on the 6,285 entries of a base system: 19 takes four times as long and saves 3 %. */
const METADATA_LEVEL = 9;

/**
 * The metadata frame of a layer blob. A blob is the chunks' frames, in the order of the chunk map, and then this.
 * The same metadata gives the same bytes on every machine.
 *
 * @returns a zstd skippable frame, which `zstd -d` passes over
 * @throws {RangeError} for entries that break the rules of LayerEntry
 */
export function writeBlobMetadata(metadata: BlobMetadata): Uint8Array {
  const raw = [
    writeEntries(metadata.entries, metadata.fileDigests),
    metadata.chunks.serialise(),
    writeOrigin(metadata),
  ];
  const sections = raw.map((section) => compress(section, METADATA_LEVEL));
  const trailer = Buffer.alloc(BLOB_TRAILER_SIZE);
  trailer.write(BLOB_MAGIC, blobTrailer.magic, 'latin1');
  trailer.writeUInt32LE(BLOB_VERSION, blobTrailer.version);
  for (const [i, section] of sections.entries()) {
    const field = blobTrailer.entriesLength + i * 8;
    trailer.writeUInt32LE(section.length, field);
    trailer.writeUInt32LE(raw[i]?.length ?? 0, field + 4);
  }
  trailer.writeUInt8(digestCode(metadata.algorithm), blobTrailer.digestAlgorithm);
  trailer.set(metadata.verityDigest, blobTrailer.verityDigest);
  const payload = Buffer.concat([...sections, trailer]);
  const digestStart = payload.length - BLOB_TRAILER_SIZE + blobTrailer.payloadDigest;
  payload.set(hash('sha256', payload.subarray(0, digestStart)), digestStart);
  return skippableFrame(payload);
}

function writeOrigin({ layerKey, chain }: BlobMetadata): Uint8Array {
  const writer = new ColumnWriter();
  const key = Buffer.from(layerKey, 'utf8');
  writer.number(key.length);
  writer.bytes(key);
  writer.number(chain.length);
  for (const digest of chain) writer.bytes(Buffer.from(digestHex(digest), 'hex'));
  return writer.written;
}
