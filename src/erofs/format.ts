/**
 * EROFS as Linux defines it: offset tables to lay beside a hexdump. All fields are little-endian, all offsets bytes
 * from the start of the structure. Source: fs/erofs/erofs_fs.h; docs/format.md repeats the tables.
 */

export const BLOCK_BITS = 12;
export const BLOCK_SIZE = 4096;
/** A nid counts slots of this size from the start of the metadata area. */
export const SLOT_SIZE = 32;
/** The last address of a device that an index can name is one below: all ones means a hole. */
export const NULL_BLKADDR = 0xffff_ffff;
export const NAME_MAX = 255;
/** PATH_MAX without its NUL: no longer target can be followed. */
export const TARGET_MAX = 4095;

/** struct erofs_super_block, at byte 1024 of the image. */
export const SUPER_OFFSET = 1024;
export const SUPER_MAGIC = 0xe0f5_e1e2;
export const superblockFields = {
  magic: 0, // u32
  checksum: 4, // u32, crc32c of the rest of the block from byte 1024 on with this field zero
  featureCompat: 8, // u32
  blockBits: 12, // u8, log2 of the block size
  extensionSlots: 13, // u8
  rootNid: 14, // u16: the root lies in the first 2 MiB of the metadata area
  inodes: 16, // u64
  buildTime: 24, // u64, seconds: the mtime of compact inodes
  buildTimeNs: 32, // u32
  blocks: 36, // u32
  metaBlkaddr: 40, // u32
  xattrBlkaddr: 44, // u32
  uuid: 48, // u8[16]
  volumeName: 64, // u8[16], NUL-terminated
  featureIncompat: 80, // u32
  compression: 84, // u16
  extraDevices: 86, // u16
  deviceSlotOffset: 88, // u16, in units of 128 bytes
  dirBlockBits: 90, // u8, added to blockBits
  xattrPrefixCount: 91, // u8
  xattrPrefixStart: 92, // u32
  packedNid: 96, // u64
} as const;
export const SUPERBLOCK_SIZE = 128;

export const FEATURE_COMPAT_SB_CHKSUM = 0x1;
export const FEATURE_COMPAT_MTIME = 0x2;
export const FEATURE_INCOMPAT_ZERO_PADDING = 0x1;
export const FEATURE_INCOMPAT_CHUNKED_FILE = 0x4;
export const FEATURE_INCOMPAT_DEVICE_TABLE = 0x8;

/** struct erofs_deviceslot. */
export const deviceSlotFields = {
  tag: 0, // u8[64], here the hex digits of the blob's sha256
  blocks: 64, // u32
  mappedBlkaddr: 68, // u32, 0: no place in the primary device's address space
} as const;
export const DEVICE_SLOT_SIZE = 128;
export const DEVICE_TAG_SIZE = 64;

/** struct erofs_inode_extended, the form the writer uses: the only one with an mtime and 32-bit owners. */
export const extendedInodeFields = {
  format: 0, // u16
  xattrCount: 2, // u16, units of 4 bytes plus 2
  mode: 4, // u16
  size: 8, // u64
  union: 16, // u32: block address, device number or chunk format
  ino: 20, // u32, for 32-bit stat only
  uid: 24, // u32
  gid: 28, // u32
  mtime: 32, // i64, seconds
  mtimeNs: 40, // u32
  nlink: 44, // u32
} as const;
export const EXTENDED_INODE_SIZE = 64;

/** struct erofs_inode_compact, read from images of other writers. */
export const compactInodeFields = {
  format: 0, // u16
  xattrCount: 2, // u16
  mode: 4, // u16
  nlink: 6, // u16
  size: 8, // u32
  union: 16, // u32
  ino: 20, // u32
  uid: 24, // u16
  gid: 26, // u16
} as const;
export const COMPACT_INODE_SIZE = 32;

/** i_format: bit 0 says extended, bits 1–3 the data layout, the rest must be zero. */
export const FORMAT_EXTENDED = 0x1;
export const FORMAT_LAYOUT_SHIFT = 1;
export const FORMAT_KNOWN_BITS = 0xf;

/** EROFS_INODE_FLAT_PLAIN, _FLAT_INLINE and _CHUNK_BASED. 1 and 3 are compressed and never occur here. */
export const layoutNumbers = { plain: 0, inline: 2, chunk: 4 } as const;
/** How an inode's data is found: in blocks; in blocks with the tail after the inode; through chunk indexes. */
export type DataLayout = keyof typeof layoutNumbers;

/** struct erofs_inode_chunk_info: bits 0–4 are log2 of blocks a chunk, bit 5 says 8-byte indexes. */
export const CHUNK_BITS_MASK = 0x1f;
export const CHUNK_INDEXES = 0x20;
/** struct erofs_inode_chunk_index, from the first multiple of 8 after inode and xattrs. */
export const chunkIndexFields = {
  advise: 0, // u16
  device: 2, // u16, 0 is the image itself
  blkaddr: 4, // u32
} as const;
export const CHUNK_INDEX_SIZE = 8;
/** The form without EROFS_CHUNK_FORMAT_INDEXES: bare addresses in the image itself. */
export const BLOCK_MAP_ENTRY_SIZE = 4;

/** struct erofs_xattr_ibody_header, right after the inode; ids of shared xattrs (u32) follow, then entries. */
export const xattrBodyFields = {
  nameFilter: 0, // u32
  sharedCount: 4, // u8
  shared: 12, // u32[], each in units of 4 bytes from the shared area
} as const;
export const XATTR_BODY_SIZE = 12;
/** struct erofs_xattr_entry, at a multiple of 4; name and value follow. */
export const xattrEntryFields = {
  nameLength: 0, // u8
  nameIndex: 1, // u8
  valueSize: 2, // u16
  name: 4,
} as const;
export const XATTR_ALIGN = 4;

/** struct erofs_dirent. The entries of a block come first, then their names in the same order. */
export const direntFields = {
  nid: 0, // u64
  nameOffset: 8, // u16, from the start of the block
  type: 10, // u8, FT_*
} as const;
export const DIRENT_SIZE = 12;

/** FT_* by the type bits of a mode (`mode >> 12`, which is DT_* of readdir(3)). Source: include/linux/fs_types.h. */
const fileTypes: Readonly<Record<number, number>> = { 8: 1, 4: 2, 2: 3, 6: 4, 1: 5, 12: 6, 10: 7 };
const directoryTypes = [0, 8, 4, 2, 6, 1, 12, 10];

/** The FT_* of a dirent for an `st_mode`; 0 (unknown) for a mode without a type. */
export function fileTypeOfMode(mode: number): number {
  return fileTypes[mode >>> 12] ?? 0;
}

/** The DT_* that getdents(2) and FUSE use for a dirent's FT_*; 0 (unknown) for others. */
export function directoryType(fileType: number): number {
  return directoryTypes[fileType] ?? 0;
}

export function roundUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}

/** Linux's new_encode_dev(): 12 bits of major, 20 of minor. */
export function encodeDevice(major: number, minor: number): number {
  return ((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0;
}

export interface DeviceNumber {
  readonly major: number;
  readonly minor: number;
}

/** Linux's new_decode_dev(). */
export function decodeDevice(encoded: number): DeviceNumber {
  return { major: (encoded >>> 8) & 0xfff, minor: (encoded & 0xff) | ((encoded >>> 12) & 0xfff00) };
}
