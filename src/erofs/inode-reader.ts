import {
  COMPACT_INODE_SIZE,
  compactInodeFields as compact,
  type DataLayout,
  type DeviceNumber,
  decodeDevice,
  EXTENDED_INODE_SIZE,
  extendedInodeFields as extended,
  FORMAT_EXTENDED,
  FORMAT_KNOWN_BITS,
  FORMAT_LAYOUT_SHIFT,
  layoutNumbers,
  XATTR_ALIGN,
  XATTR_BODY_SIZE,
} from './format.ts';
import { type ImageView, invalid, unsupported } from './image-view.ts';
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK } from './inode.ts';

/** A decoded inode. Plain numbers; it keeps no view of the image. */
export interface ErofsInode {
  readonly nid: number;
  /** Whole `st_mode`. */
  readonly mode: number;
  /** Bytes. */
  readonly size: number;
  readonly uid: number;
  readonly gid: number;
  /** Seconds, may be negative; the fraction is in `mtimeNs`. */
  readonly mtime: number;
  readonly mtimeNs: number;
  readonly nlink: number;
  /** 0:0 unless the inode is a device. */
  readonly rdev: DeviceNumber;
  readonly layout: DataLayout;
  /** Raw i_u: first block of a flat inode, format of a chunked one. */
  readonly union: number;
  /** Byte offset and length of the xattrs in the image; inline data or indexes follow. */
  readonly xattrOffset: number;
  readonly xattrSize: number;
}

const noDevice: DeviceNumber = { major: 0, minor: 0 };
const layouts: readonly (DataLayout | undefined)[] = Array.from({ length: 8 }, (_, number) =>
  (['plain', 'inline', 'chunk'] as const).find((name) => layoutNumbers[name] === number),
);
const types = new Set([S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG, S_IFSOCK]);

/**
 * Decodes an inode of either form.
 *
 * Layout: fs/erofs/erofs_fs.h, struct erofs_inode_compact and erofs_inode_extended.
 * @throws {FormatError} SLUICE_EROFS_OUT_OF_BOUNDS when it or its xattrs cross the end of the image,
 *   SLUICE_EROFS_UNSUPPORTED for compressed data, SLUICE_EROFS_INVALID
 */
export function readInode(image: ImageView, nid: number): ErofsInode {
  const offset = image.inodeOffset(nid);
  image.check(offset, COMPACT_INODE_SIZE, 'inode');
  const { view } = image;
  const format = view.getUint16(offset, true);
  const layout = layouts[format >>> FORMAT_LAYOUT_SHIFT];
  if (format & ~FORMAT_KNOWN_BITS || layout === undefined) {
    throw unsupported(`inode format 0x${format.toString(16)} at offset ${offset}`, { nid, offset, format });
  }
  const xattrCount = view.getUint16(offset + extended.xattrCount, true);
  const xattrSize = xattrCount === 0 ? 0 : XATTR_BODY_SIZE + (xattrCount - 1) * XATTR_ALIGN;
  const inode =
    format & FORMAT_EXTENDED
      ? readExtended(image, nid, offset, layout, xattrSize)
      : readCompact(image, nid, offset, layout, xattrSize);
  checkInode(image, inode);
  return inode;
}

function readExtended(
  image: ImageView,
  nid: number,
  offset: number,
  layout: DataLayout,
  xattrSize: number,
): ErofsInode {
  image.check(offset, EXTENDED_INODE_SIZE, 'inode');
  const { view } = image;
  const mode = view.getUint16(offset + extended.mode, true);
  const union = view.getUint32(offset + extended.union, true);
  return {
    nid,
    mode,
    size: image.safeInteger(offset + extended.size, 'size'),
    uid: view.getUint32(offset + extended.uid, true),
    gid: view.getUint32(offset + extended.gid, true),
    mtime: image.safeInteger(offset + extended.mtime, 'mtime', true),
    mtimeNs: view.getUint32(offset + extended.mtimeNs, true),
    nlink: view.getUint32(offset + extended.nlink, true),
    rdev: deviceOf(mode, union),
    layout,
    union,
    xattrOffset: offset + EXTENDED_INODE_SIZE,
    xattrSize,
  };
}

function readCompact(image: ImageView, nid: number, offset: number, layout: DataLayout, xattrSize: number): ErofsInode {
  const { view, superblock } = image;
  const mode = view.getUint16(offset + compact.mode, true);
  const union = view.getUint32(offset + compact.union, true);
  return {
    nid,
    mode,
    size: view.getUint32(offset + compact.size, true),
    uid: view.getUint16(offset + compact.uid, true),
    gid: view.getUint16(offset + compact.gid, true),
    mtime: superblock.buildTime,
    mtimeNs: superblock.buildTimeNs,
    nlink: view.getUint16(offset + compact.nlink, true),
    rdev: deviceOf(mode, union),
    layout,
    union,
    xattrOffset: offset + COMPACT_INODE_SIZE,
    xattrSize,
  };
}

function deviceOf(mode: number, union: number): DeviceNumber {
  const type = mode & S_IFMT;
  return type === S_IFCHR || type === S_IFBLK ? decodeDevice(union) : noDevice;
}

function checkInode(image: ImageView, inode: ErofsInode): void {
  const { nid, mode, layout, mtimeNs, xattrOffset, xattrSize } = inode;
  const type = mode & S_IFMT;
  if (!types.has(type)) throw invalid(`no file type in mode 0${mode.toString(8)} of nid ${nid}`, { nid, mode });
  if (layout === 'chunk' && type !== S_IFREG) throw unsupported(`chunks in nid ${nid}, which is no file`, { nid });
  if (mtimeNs >= 1e9) throw invalid(`${mtimeNs} ns in the mtime of nid ${nid}`, { nid, mtimeNs });
  image.check(xattrOffset, xattrSize, 'xattrs');
}
