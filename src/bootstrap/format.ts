/**
 * The last block of a bootstrap: offsets from the start of the footer, little-endian; zeros up to its end.
 * Sections are told by their offset in the file and their length, in bytes.
 * docs/format.md repeats the table and a test holds the two equal.
 */
export const footerFields = {
  magic: 0, // u8[8]
  version: 8, // u32
  digestAlgorithm: 12, // u8, of the chunks' digests
  reserved: 13, // u8[3], zero
  compatFeatures: 16, // u32, a reader may ignore these
  incompatFeatures: 20, // u32, a reader refuses those it does not know
  erofsOffset: 24, // u64, always 0, so that the kernel can mount the file
  erofsLength: 32, // u64
  devicesOffset: 40, // u64
  devicesLength: 48, // u64
  chunkMapsOffset: 56, // u64
  chunkMapsLength: 64, // u64
} as const;

export const BOOTSTRAP_MAGIC = 'SluiceBS';
export const BOOTSTRAP_VERSION = 2;

/** Incompatible features this version knows: none yet. */
export const KNOWN_INCOMPAT_FEATURES = 0;

export type SectionName = 'erofs' | 'devices' | 'chunkMaps';

/** Bytes of the file. */
export interface Section {
  readonly offset: number;
  readonly length: number;
}
export type Sections = Readonly<Record<SectionName, Section>>;

/** One record of the device section, in the order of the EROFS device table, whose tags are the blobs' digests. */
export const deviceFields = {
  blobSize: 0, // u64, bytes of the compressed blob
  chunkCount: 8, // u32
  reserved: 12, // u32, zero
  verityDigest: 16, // u8[32], fs-verity digest of the device image
} as const;
export const DEVICE_RECORD_SIZE = 48;
