import type { ByteString } from '../byte-string.ts';
import { roundUp, XATTR_ALIGN, XATTR_BODY_SIZE, xattrBodyFields, xattrEntryFields } from './format.ts';
import { type ImageView, invalid } from './image-view.ts';
import type { ErofsInode } from './inode-reader.ts';
import { joinXattrName } from './xattr-name.ts';

/** One xattr as it is stored. */
export interface StoredXattr {
  readonly name: ByteString;
  /** A copy. */
  readonly value: Uint8Array;
  /** Offset of the next entry, where one follows. */
  readonly end: number;
}

/**
 * Calls `visit` for each xattr of an inode, shared ones first.
 *
 * @param readShared - reads the shared entry at a byte offset; a place to put a cache
 * @throws {FormatError} SLUICE_EROFS_INVALID, SLUICE_EROFS_OUT_OF_BOUNDS
 */
export function* listXattrs(
  image: ImageView,
  inode: ErofsInode,
  readShared: (offset: number) => StoredXattr,
): Generator<StoredXattr> {
  const { xattrOffset: start, xattrSize: size } = inode;
  if (size === 0) return;
  const sharedCount = image.view.getUint8(start + xattrBodyFields.sharedCount);
  const inline = start + XATTR_BODY_SIZE + sharedCount * XATTR_ALIGN;
  if (inline > start + size) throw invalid(`${sharedCount} shared xattrs at offset ${start}`, { offset: start });
  for (let id = start + xattrBodyFields.shared; id < inline; id += XATTR_ALIGN) {
    yield readShared(image.xattrOffset + image.view.getUint32(id, true) * XATTR_ALIGN);
  }
  for (let offset = inline; offset < start + size; ) {
    const xattr = readXattr(image, offset, start + size);
    yield xattr;
    offset = xattr.end;
  }
}

/**
 * @param limit - what the entry must not cross
 * @throws {FormatError} SLUICE_EROFS_INVALID, SLUICE_EROFS_OUT_OF_BOUNDS
 */
export function readXattr(image: ImageView, offset: number, limit: number): StoredXattr {
  image.check(offset, xattrEntryFields.name, 'xattr');
  const { view, bytes } = image;
  const nameLength = view.getUint8(offset + xattrEntryFields.nameLength);
  const index = view.getUint8(offset + xattrEntryFields.nameIndex);
  const valueSize = view.getUint16(offset + xattrEntryFields.valueSize, true);
  const nameStart = offset + xattrEntryFields.name;
  const valueStart = nameStart + nameLength;
  const end = roundUp(valueStart + valueSize, XATTR_ALIGN);
  image.check(offset, end - offset, 'xattr');
  const name = joinXattrName({ index, suffix: bytes.toString('latin1', nameStart, valueStart) });
  if (name === undefined || name === '' || name.includes('\0') || end > limit) {
    throw invalid(`bad xattr at offset ${offset}`, { offset, index });
  }
  return { name, value: new Uint8Array(bytes.subarray(valueStart, valueStart + valueSize)), end };
}
