/**
 * A hot blob: the pages that a start reads, in the order in which it does, with the hash blocks that prove them.
 *
 *     hot blob := index frame  group*
 *     group    := hash frame?  data frame
 *
 * Index frame and hash frames are skippable, so that `zstd -dc` prints the pages. docs/format.md, "Hot blob", repeats
 * the table and a test holds the two equal.
 */
export const HOT_MAGIC = 'SluiceHB';
export const HOT_VERSION = 1;

/** The head of the index frame's payload, little-endian; the index follows, as one zstd frame. */
export const hotHeader = {
  magic: 0, // u8[8]
  version: 8, // u32
  indexSize: 12, // u32, uncompressed size of the index
} as const;
export const HOT_HEADER_SIZE = 16;

/** A zstd skippable frame's magic number and length, before the payload. */
export const SKIPPABLE_HEADER_SIZE = 8;

/**
 * Most pages of a hot blob, 64 MiB: what a mount may be made to hold in memory by whoever may attach a profile. A start
 * of the largest image measured reads 27 MB.
 */
export const maximumHotPages = 16_384;

/** Most pages of a group, 1 MiB: a frame is decompressed at once, before the hash of any of its pages is known. */
export const maximumGroupPages = 256;

/** Most bytes of an index, compressed or not: three times what the most pages, each a run of its own, take. */
export const maximumIndexSize = 1 << 20;

/** What a frame may add to its content. A longer one would make a reader fetch bytes for nothing. */
export const maximumFrameOverhead = 1024;

/**
 * Most bytes of a hot blob: the most pages, none of which compresses, each with a hash block of its own, and what is
 * above those. One that claims more is not asked for.
 */
export const maximumHotBlobSize = 144 << 20;
