/** Every header and every piece of content starts at a multiple of this. Source: POSIX.1-2017 pax, ustar Interchange Format. */
export const blockSize = 512;

/** One field of a header block: bytes from its start. */
export interface Field {
  readonly offset: number;
  readonly length: number;
}

/**
 * The header block. The first ten fields are those of Seventh Edition tar, the next five came with ustar.
 * Source: POSIX.1-2017 pax, ustar Interchange Format.
 */
export const field = {
  name: { offset: 0, length: 100 },
  mode: { offset: 100, length: 8 },
  uid: { offset: 108, length: 8 },
  gid: { offset: 116, length: 8 },
  size: { offset: 124, length: 12 },
  mtime: { offset: 136, length: 12 },
  checksum: { offset: 148, length: 8 },
  typeflag: { offset: 156, length: 1 },
  linkName: { offset: 157, length: 100 },
  magic: { offset: 257, length: 8 },
  major: { offset: 329, length: 8 },
  minor: { offset: 337, length: 8 },
  prefix: { offset: 345, length: 155 },
} as const satisfies Record<string, Field>;

/** What star puts where ustar has the end of the prefix. Source: star(5), "star header". */
export const starField = {
  prefix: { offset: 345, length: 131 },
  trailer: { offset: 508, length: 4 },
} as const satisfies Record<string, Field>;

/** What old GNU tar puts there instead. Source: GNU tar manual, "Basic Tar Format", struct oldgnu_header and sparse_header. */
export const gnuField = {
  atime: { offset: 345, length: 12 },
  ctime: { offset: 357, length: 12 },
  sparse: { offset: 386, length: 4 * 24 },
  isExtended: { offset: 482, length: 1 },
  realSize: { offset: 483, length: 12 },
  extensionSparse: { offset: 0, length: 21 * 24 },
  extensionIsExtended: { offset: 504, length: 1 },
} as const satisfies Record<string, Field>;

/** `ustar`, NUL, and a version most writers fill with `00`. Nobody checks the version, so neither does this reader. */
export const ustarMagic = 'ustar\0';
export const gnuMagic = 'ustar  \0';
export const starTrailer = 'tar\0';

/** Type flags, as the character codes they are stored as. */
export const typeflag = {
  oldFile: 0,
  file: 0x30,
  hardlink: 0x31,
  symlink: 0x32,
  char: 0x33,
  block: 0x34,
  directory: 0x35,
  fifo: 0x36,
  contiguous: 0x37,
  gnuLongLink: 0x4b,
  gnuLongName: 0x4c,
  gnuSparse: 0x53,
  gnuVolumeLabel: 0x56,
  paxGlobal: 0x67,
  pax: 0x78,
} as const;

/** Bytes that fill up `length` bytes of content to the next block. */
export function paddingAfter(length: number): number {
  return (blockSize - (length % blockSize)) % blockSize;
}
