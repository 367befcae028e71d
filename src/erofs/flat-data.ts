import type { ByteString } from '../byte-string.ts';
import { BLOCK_SIZE, TARGET_MAX } from './format.ts';
import { type ImageView, invalid } from './image-view.ts';
import { S_IFLNK, S_IFMT } from './inode.ts';
import type { ErofsInode } from './inode-reader.ts';

/**
 * Where a byte of a flat inode lies in the image, and how many bytes from there on are contiguous (up to the
 * inode's end, or to its tail behind the inode).
 *
 * @param offset - below `inode.size`
 * @param into - receives the answer; spares an object a call on the hot path
 * @throws {FormatError} SLUICE_EROFS_OUT_OF_BOUNDS, SLUICE_EROFS_INVALID when an inline tail crosses a block
 */
export function locateFlat(image: ImageView, inode: ErofsInode, offset: number, into: FlatRange): void {
  const blocks =
    inode.layout === 'inline' ? Math.ceil(inode.size / BLOCK_SIZE) - 1 : Math.ceil(inode.size / BLOCK_SIZE);
  const tailStart = blocks * BLOCK_SIZE;
  if (offset < tailStart) {
    into.start = inode.union * BLOCK_SIZE + offset;
    into.length = Math.min(tailStart, inode.size) - offset;
  } else {
    const tail = inode.xattrOffset + inode.xattrSize;
    if ((tail % BLOCK_SIZE) + (inode.size - tailStart) > BLOCK_SIZE) {
      throw invalid(`inline data of nid ${inode.nid} crosses a block`, { nid: inode.nid });
    }
    into.start = tail + offset - tailStart;
    into.length = inode.size - offset;
  }
  image.check(into.start, into.length, 'data');
}

/** A run of bytes of the image. */
export interface FlatRange {
  start: number;
  length: number;
}

/**
 * @returns a symlink's target
 * @throws {FormatError} SLUICE_EROFS_INVALID for another kind of inode and for a target no path can have
 */
export function readLink(image: ImageView, inode: ErofsInode): ByteString {
  const { nid, mode, size } = inode;
  if ((mode & S_IFMT) !== S_IFLNK) throw invalid(`nid ${nid} is no symlink`, { nid });
  // Below a block a target is one run of bytes; above, it could be as long as the image.
  if (size > TARGET_MAX) throw invalid(`target of ${size} bytes in nid ${nid}`, { nid, size });
  const range: FlatRange = { start: 0, length: 0 };
  if (size > 0) locateFlat(image, inode, 0, range);
  const target = image.bytes.toString('latin1', range.start, range.start + size) as ByteString;
  if (target.includes('\0')) throw invalid(`NUL in the target of nid ${nid}`, { nid });
  return target;
}
