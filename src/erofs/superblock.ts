import { byteString } from '../byte-string.ts';
import { FormatError } from '../errors.ts';
import { crc32c } from './crc32c.ts';
import {
  BLOCK_BITS,
  BLOCK_SIZE,
  DEVICE_SLOT_SIZE,
  DEVICE_TAG_SIZE,
  deviceSlotFields,
  FEATURE_COMPAT_MTIME,
  FEATURE_COMPAT_SB_CHKSUM,
  FEATURE_INCOMPAT_CHUNKED_FILE,
  FEATURE_INCOMPAT_DEVICE_TABLE,
  FEATURE_INCOMPAT_ZERO_PADDING,
  superblockFields as field,
  NULL_BLKADDR,
  SUPER_MAGIC,
  SUPER_OFFSET,
  SUPERBLOCK_SIZE,
} from './format.ts';

/** One row of the device table, in the order of `device` in extents. */
export interface DeviceSlot {
  /** The hex digits of the blob's sha256, 64 characters. */
  readonly tag: string;
  /** Size of the device image in blocks of 4096 bytes. */
  readonly blocks: number;
}

/** What the writer decides about an image. */
export interface SuperblockFacts {
  readonly rootNid: number;
  readonly inodeCount: number;
  /** Seconds. */
  readonly buildTime: number;
  readonly blocks: number;
  readonly metaBlkaddr: number;
  readonly xattrBlkaddr: number;
  /** 16 bytes. */
  readonly uuid: Uint8Array;
  readonly devices: readonly DeviceSlot[];
}

/** All that a superblock says. */
export interface Superblock extends SuperblockFacts {
  readonly checksum: number;
  readonly featureCompat: number;
  readonly featureIncompat: number;
  readonly buildTimeNs: number;
}

/** Where the device table lies: right after the superblock. */
export const DEVICE_TABLE_OFFSET: number = SUPER_OFFSET + SUPERBLOCK_SIZE;

const knownIncompat = FEATURE_INCOMPAT_ZERO_PADDING | FEATURE_INCOMPAT_CHUNKED_FILE | FEATURE_INCOMPAT_DEVICE_TABLE;

/** One below what 16-bit device ids can count. */
const maxDevices = 65_534;
const tagPattern = /^[0-9a-f]{64}$/;

/**
 * @throws {FormatError} SLUICE_EROFS_INVALID when there are too many, or one is no digest or larger than 16 TiB
 */
export function checkDevices(devices: readonly DeviceSlot[]): void {
  const bad = devices.find(({ tag, blocks }) => !tagPattern.test(tag) || !(blocks >= 0 && blocks <= NULL_BLKADDR));
  if (bad !== undefined || devices.length > maxDevices) {
    const facts = { count: devices.length, tag: bad?.tag, blocks: bad?.blocks };
    throw new FormatError('SLUICE_EROFS_INVALID', 'Cannot write device table: bad device or too many', { facts });
  }
}

/** Writes superblock, device table and checksum into `image`, whose other bytes of the first block are final. */
export function writeSuperblock(image: Uint8Array, superblock: SuperblockFacts): void {
  const view = new DataView(image.buffer, image.byteOffset + SUPER_OFFSET);
  const { devices } = superblock;
  view.setUint32(field.magic, SUPER_MAGIC, true);
  view.setUint32(field.featureCompat, FEATURE_COMPAT_SB_CHKSUM | FEATURE_COMPAT_MTIME, true);
  view.setUint8(field.blockBits, BLOCK_BITS);
  view.setUint16(field.rootNid, superblock.rootNid, true);
  view.setBigUint64(field.inodes, BigInt(superblock.inodeCount), true);
  view.setBigUint64(field.buildTime, BigInt(superblock.buildTime), true);
  view.setUint32(field.blocks, superblock.blocks, true);
  view.setUint32(field.metaBlkaddr, superblock.metaBlkaddr, true);
  view.setUint32(field.xattrBlkaddr, superblock.xattrBlkaddr, true);
  image.set(superblock.uuid, SUPER_OFFSET + field.uuid);
  const tableFeature = devices.length > 0 ? FEATURE_INCOMPAT_DEVICE_TABLE : 0;
  view.setUint32(field.featureIncompat, FEATURE_INCOMPAT_CHUNKED_FILE | tableFeature, true);
  view.setUint16(field.extraDevices, devices.length, true);
  view.setUint16(field.deviceSlotOffset, DEVICE_TABLE_OFFSET / DEVICE_SLOT_SIZE, true);
  devices.forEach(({ tag, blocks }, index) => {
    const offset = DEVICE_TABLE_OFFSET + index * DEVICE_SLOT_SIZE;
    image.set(Buffer.from(tag, 'latin1'), offset + deviceSlotFields.tag);
    view.setUint32(offset - SUPER_OFFSET + deviceSlotFields.blocks, blocks, true);
  });
  view.setUint32(field.checksum, superblockChecksum(image), true);
}

/**
 * Reads superblock and device table, and checks magic, features and checksum.
 *
 * @param image - the whole image; `uuid` is a copy
 * @throws {FormatError} SLUICE_EROFS_INVALID, SLUICE_EROFS_UNSUPPORTED for an unknown incompatible feature or another
 *   block size, SLUICE_EROFS_OUT_OF_BOUNDS
 */
export function readSuperblock(image: Uint8Array): Superblock {
  if (image.length < BLOCK_SIZE) {
    throw new FormatError('SLUICE_EROFS_OUT_OF_BOUNDS', `Cannot read EROFS image: ${image.length} bytes are no block`);
  }
  const view = new DataView(image.buffer, image.byteOffset + SUPER_OFFSET, SUPERBLOCK_SIZE);
  const u32 = (offset: number): number => view.getUint32(offset, true);
  if (u32(field.magic) !== SUPER_MAGIC) {
    throw new FormatError('SLUICE_EROFS_INVALID', `Cannot read EROFS image: no magic at offset ${SUPER_OFFSET}`);
  }
  const featureCompat = u32(field.featureCompat);
  const featureIncompat = u32(field.featureIncompat);
  checkFeatures(featureIncompat, view);
  const checksum = u32(field.checksum);
  if (featureCompat & FEATURE_COMPAT_SB_CHKSUM && superblockChecksum(image) !== checksum) {
    throw new FormatError('SLUICE_EROFS_INVALID', 'Cannot read EROFS image: superblock checksum does not match');
  }
  if (u32(field.blocks) * BLOCK_SIZE > image.length) {
    throw new FormatError('SLUICE_EROFS_OUT_OF_BOUNDS', `Cannot read EROFS image: cut short at ${image.length} bytes`);
  }
  return {
    checksum,
    featureCompat,
    featureIncompat,
    rootNid: view.getUint16(field.rootNid, true),
    inodeCount: u32(field.inodes) + u32(field.inodes + 4) * 2 ** 32,
    buildTime: u32(field.buildTime) + u32(field.buildTime + 4) * 2 ** 32,
    buildTimeNs: u32(field.buildTimeNs),
    blocks: u32(field.blocks),
    metaBlkaddr: u32(field.metaBlkaddr),
    xattrBlkaddr: u32(field.xattrBlkaddr),
    uuid: new Uint8Array(image.subarray(SUPER_OFFSET + field.uuid, SUPER_OFFSET + field.uuid + 16)),
    devices: readDevices(image, view, featureIncompat),
  };
}

function checkFeatures(incompat: number, view: DataView): void {
  const unknown = (incompat & ~knownIncompat) >>> 0;
  if (unknown !== 0) {
    const offset = SUPER_OFFSET + field.featureIncompat;
    const message = `Cannot read EROFS image: unknown incompat feature 0x${unknown.toString(16)} at offset ${offset}`;
    throw new FormatError('SLUICE_EROFS_UNSUPPORTED', message, { facts: { feature: unknown, offset } });
  }
  const bits = view.getUint8(field.blockBits);
  if (bits !== BLOCK_BITS || view.getUint8(field.dirBlockBits) !== 0) {
    throw new FormatError('SLUICE_EROFS_UNSUPPORTED', `Cannot read EROFS image: block size 2^${bits}, want 4096`);
  }
}

function readDevices(image: Uint8Array, superblock: DataView, featureIncompat: number): DeviceSlot[] {
  if ((featureIncompat & FEATURE_INCOMPAT_DEVICE_TABLE) === 0) return [];
  const count = superblock.getUint16(field.extraDevices, true);
  const start = superblock.getUint16(field.deviceSlotOffset, true) * DEVICE_SLOT_SIZE;
  if (start + count * DEVICE_SLOT_SIZE > image.length) {
    throw new FormatError('SLUICE_EROFS_OUT_OF_BOUNDS', `Cannot read EROFS image: no room for ${count} device slots`);
  }
  const view = new DataView(image.buffer, image.byteOffset + start, count * DEVICE_SLOT_SIZE);
  return Array.from({ length: count }, (_, index) => {
    const slot = index * DEVICE_SLOT_SIZE;
    const tag = byteString(image.subarray(start + slot, start + slot + DEVICE_TAG_SIZE)).replace(/\0+$/, '');
    return { tag, blocks: view.getUint32(slot + deviceSlotFields.blocks, true) };
  });
}

/** Over the first block from the superblock on, as if the checksum field were zero. */
function superblockChecksum(image: Uint8Array): number {
  const block = new Uint8Array(image.subarray(SUPER_OFFSET, BLOCK_SIZE));
  block.fill(0, field.checksum, field.checksum + 4);
  return crc32c(0xffff_ffff, block);
}
