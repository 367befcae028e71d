import { FormatError } from '../errors.ts';
import { BLOCK_SIZE, SLOT_SIZE } from './format.ts';
import { readSuperblock, type Superblock } from './superblock.ts';

/**
 * The bytes of an image and checked ways into them. Every structure's range is checked once, with
 * {@link ImageView.check}, before its fields are read.
 */
export class ImageView {
  readonly bytes: Buffer;
  readonly view: DataView;
  readonly superblock: Superblock;
  /** Byte offset of nid 0, and of shared xattr 0. */
  readonly metaOffset: number;
  readonly xattrOffset: number;
  /** The kernel takes as many low bits of an index's device id as the device table needs. */
  readonly deviceMask: number;

  /**
   * @param image - kept as a view; may lie on a SharedArrayBuffer
   * @throws {FormatError} as {@link readSuperblock}
   */
  constructor(image: Uint8Array) {
    this.bytes = Buffer.from(image.buffer, image.byteOffset, image.byteLength);
    this.view = new DataView(image.buffer, image.byteOffset, image.byteLength);
    this.superblock = readSuperblock(image);
    this.metaOffset = this.superblock.metaBlkaddr * BLOCK_SIZE;
    this.xattrOffset = this.superblock.xattrBlkaddr * BLOCK_SIZE;
    this.deviceMask = 2 ** Math.ceil(Math.log2(this.superblock.devices.length + 1)) - 1;
  }

  /**
   * @throws {FormatError} SLUICE_EROFS_OUT_OF_BOUNDS unless all of the range lies in the image
   */
  check(offset: number, length: number, what: string): void {
    if (!(offset >= 0 && length >= 0 && offset + length <= this.bytes.length)) {
      const message = `Cannot read ${what}: ${length} bytes at offset ${offset} are outside the image`;
      throw new FormatError('SLUICE_EROFS_OUT_OF_BOUNDS', message, { facts: { offset, length } });
    }
  }

  /** Byte offset of an inode; not checked. */
  inodeOffset(nid: number): number {
    return this.metaOffset + nid * SLOT_SIZE;
  }

  /**
   * A u64 (or an i64, by its upper half) as a number.
   * @throws {FormatError} SLUICE_EROFS_INVALID beyond 2^53
   */
  safeInteger(offset: number, what: string, signed = false): number {
    const high = signed ? this.view.getInt32(offset + 4, true) : this.view.getUint32(offset + 4, true);
    const value = high * 2 ** 32 + this.view.getUint32(offset, true);
    if (!Number.isSafeInteger(value)) throw invalid(`${what} at offset ${offset} is beyond 2^53`);
    return value;
  }
}

/** An error about bytes that contradict the format. */
export function invalid(reason: string, facts: Readonly<Record<string, number>> = {}): FormatError {
  return new FormatError('SLUICE_EROFS_INVALID', `Cannot read EROFS image: ${reason}`, { facts });
}

/** An error about what Linux may read and this reader does not. */
export function unsupported(reason: string, facts: Readonly<Record<string, number>> = {}): FormatError {
  return new FormatError('SLUICE_EROFS_UNSUPPORTED', `Cannot read EROFS image: ${reason}`, { facts });
}
