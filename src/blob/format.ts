/**
 * The last bytes of a layer blob: offsets from the start of the trailer, little-endian.
 * docs/format.md repeats the table and a test holds the two equal.
 */
export const blobTrailer = {
  magic: 0, // u8[8]
  version: 8, // u32
  incompatFeatures: 12, // u32, none are known
  entriesLength: 16, // u32, bytes of the section's zstd frame
  entriesSize: 20, // u32, bytes it unfolds to
  chunksLength: 24, // u32
  chunksSize: 28, // u32
  originLength: 32, // u32
  originSize: 36, // u32
  digestAlgorithm: 40, // u8, of the chunks' digests
  reserved: 41, // u8[23], zero
  verityDigest: 64, // u8[32], fs-verity digest of the device image
  payloadDigest: 96, // u8[32], SHA-256 of the frame's payload before this field
} as const;
export const BLOB_TRAILER_SIZE = 128;
export const BLOB_MAGIC = 'SluiceLB';
export const BLOB_VERSION = 2;

/** Source: RFC 8878, section 3.1.2: magic number and length, both u32. */
export const SKIPPABLE_HEADER_SIZE = 8;

/** The sections of the metadata frame, in the order in which they are stored. Each is a zstd frame of its own. */
export const sectionNames = ['entries', 'chunks', 'origin'] as const;

/** What each section may unfold to, in bytes: a zstd frame of a few bytes can claim to be anything. */
export const sectionLimits: Readonly<Record<(typeof sectionNames)[number], number>> = {
  entries: 1 << 29,
  chunks: 1 << 28,
  origin: 1 << 22,
};
