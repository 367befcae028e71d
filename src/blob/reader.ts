import { ChunkMap } from '../chunk/chunk-map.ts';
import { digestFromCode } from '../chunk/digest-code.ts';
import { paddedSize } from '../chunk/parameters.ts';
import { type DigestAlgorithm, hash } from '../digest/hash.ts';
import { FormatError, IntegrityError } from '../errors.ts';
import { type Digest, digestFromBytes } from '../oci/digest.ts';
import type { LayerEntry } from '../tree/layer-entry.ts';
import { decompress } from '../zstd/codec.ts';
import { ColumnReader } from './column.ts';
import { readEntries } from './entry-reader.ts';
import {
  BLOB_MAGIC,
  BLOB_TRAILER_SIZE,
  BLOB_VERSION,
  blobTrailer,
  SKIPPABLE_HEADER_SIZE,
  sectionLimits,
  sectionNames,
} from './format.ts';
import type { BlobMetadata } from './metadata.ts';

/** Chunk maps and device tables have 16 bits for a device. */
const MAX_CHAIN = 0xffff;
const MAX_KEY_BYTES = 4096;

type Section = (typeof sectionNames)[number];

/** What the trailer says, checked against itself. */
export interface BlobTrailer {
  readonly algorithm: DigestAlgorithm;
  /** Of the device image, 32 bytes; a view. */
  readonly verityDigest: Uint8Array;
  /** Bytes of the metadata frame, which ends the blob; the trailer is its end. */
  readonly metadataLength: number;
  /** Compressed length and uncompressed size of each section, bytes. */
  readonly sections: Readonly<Record<Section, { readonly length: number; readonly size: number }>>;
}

/**
 * Decodes the trailer of a layer blob, which tells how many of its last bytes the metadata frame is.
 *
 * @param tail - the end of the blob, at least `BLOB_TRAILER_SIZE` bytes of it
 * @throws {FormatError} SLUICE_BLOB_INVALID when it is no layer blob, or none this version can read
 */
export function parseBlobTrailer(tail: Uint8Array): BlobTrailer {
  if (tail.length < BLOB_TRAILER_SIZE) throw invalid(`${tail.length} bytes are too few`);
  const trailer = Buffer.from(tail.buffer, tail.byteOffset + tail.length - BLOB_TRAILER_SIZE, BLOB_TRAILER_SIZE);
  if (trailer.toString('latin1', 0, BLOB_MAGIC.length) !== BLOB_MAGIC) throw invalid('its trailer has no magic number');
  const version = trailer.readUInt32LE(blobTrailer.version);
  if (version !== BLOB_VERSION) throw invalid(`format version ${version}, want ${BLOB_VERSION}`);
  const features = trailer.readUInt32LE(blobTrailer.incompatFeatures);
  if (features !== 0) {
    throw invalid(
      `unknown incompat feature 0x${features.toString(16)} at offset ${blobTrailer.incompatFeatures} of its trailer`,
    );
  }
  const algorithm = digestFromCode(trailer.readUInt8(blobTrailer.digestAlgorithm));
  if (algorithm === undefined) throw invalid('unknown digest algorithm');
  const sections = {
    entries: readSection(trailer, 'entries'),
    chunks: readSection(trailer, 'chunks'),
    origin: readSection(trailer, 'origin'),
  };
  const { entries, chunks, origin } = sections;
  const metadataLength = SKIPPABLE_HEADER_SIZE + entries.length + chunks.length + origin.length + BLOB_TRAILER_SIZE;
  const verityDigest = trailer.subarray(blobTrailer.verityDigest, blobTrailer.payloadDigest);
  return { algorithm, verityDigest, metadataLength, sections };
}

function readSection(trailer: Buffer, name: Section): { length: number; size: number } {
  const length = trailer.readUInt32LE(blobTrailer[`${name}Length`]);
  const size = trailer.readUInt32LE(blobTrailer[`${name}Size`]);
  const limit = sectionLimits[name];
  if (size > limit || length > limit) throw invalid(`section "${name}" of ${length} bytes for ${size}`);
  return { length, size };
}

/**
 * Decodes the metadata frame of a layer blob. All of it is checked against itself and the blob's size. Whether an
 * extent in a device below lies within that device, only the metadata of that blob can tell.
 *
 * @param frame - the last `metadataLength` bytes of the blob; digests and xattr values may be views of it
 * @param blobSize - bytes
 * @throws {FormatError} SLUICE_BLOB_INVALID, SLUICE_CHUNK_MAP_INVALID, SLUICE_ZSTD_INVALID, SLUICE_ZSTD_LENGTH
 * @throws {IntegrityError} SLUICE_DIGEST_MISMATCH when the frame is damaged
 */
export function parseBlobMetadata(frame: Uint8Array, blobSize: number): BlobMetadata {
  const { algorithm, verityDigest, metadataLength, sections } = parseBlobTrailer(frame);
  if (frame.length !== metadataLength) throw invalid(`${frame.length} bytes of metadata, want ${metadataLength}`);
  checkDigest(frame);
  let position = SKIPPABLE_HEADER_SIZE;
  const [entryBytes, chunkBytes, originBytes] = sectionNames.map((name) => {
    const { length, size } = sections[name];
    position += length;
    return decompress(frame.subarray(position - length, position), size);
  }) as [Uint8Array, Uint8Array, Uint8Array];
  const chunks = ChunkMap.parse(chunkBytes);
  if (chunks.compressedSize + metadataLength !== blobSize) {
    throw invalid(`its ${blobSize} bytes are not ${chunks.compressedSize} of chunks and ${metadataLength} of metadata`);
  }
  const origin = readOrigin(originBytes);
  const { entries, fileDigests } = readEntries(entryBytes);
  checkDevices(entries, origin.chain.length, chunks.deviceSize);
  return { entries, fileDigests, chunks, algorithm, verityDigest, ...origin };
}

function checkDigest(frame: Uint8Array): void {
  const end = frame.length - BLOB_TRAILER_SIZE + blobTrailer.payloadDigest;
  const expected = Buffer.from(frame.subarray(end));
  const actual = Buffer.from(hash('sha256', frame.subarray(SKIPPABLE_HEADER_SIZE, end)));
  if (actual.equals(expected)) return;
  throw new IntegrityError('SLUICE_DIGEST_MISMATCH', 'Cannot read layer blob: its metadata is damaged', {
    facts: { expected: expected.toString('hex'), actual: actual.toString('hex') },
  });
}

function readOrigin(bytes: Uint8Array): { layerKey: string; chain: Digest[] } {
  const reader = new ColumnReader(bytes);
  const layerKey = Buffer.from(reader.bytes(reader.number(MAX_KEY_BYTES))).toString('utf8');
  const chain = Array.from({ length: reader.number(MAX_CHAIN) }, () => digestFromBytes(reader.bytes(32)));
  if (!reader.atEnd) throw invalid('bytes are left over behind its chain');
  return { layerKey, chain };
}

function checkDevices(entries: readonly LayerEntry[], ownDevice: number, deviceSize: number): void {
  for (const entry of entries) {
    if (entry.kind !== 'file') continue;
    for (const { device, deviceOffset, length } of entry.extents) {
      const inside = device === ownDevice ? deviceOffset + paddedSize(length) <= deviceSize : device < ownDevice;
      if (!inside) throw invalid(`an extent at ${deviceOffset} of device ${device} lies outside of it`);
    }
  }
}

function invalid(why: string): FormatError {
  return new FormatError('SLUICE_BLOB_INVALID', `Cannot read layer blob: ${why}`);
}
