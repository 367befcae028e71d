import { writeChunkIndexes } from './chunk-map.ts';
import { writeDirectoryBlock } from './directory.ts';
import {
  BLOCK_SIZE,
  CHUNK_INDEX_SIZE,
  CHUNK_INDEXES,
  EXTENDED_INODE_SIZE,
  encodeDevice,
  FORMAT_EXTENDED,
  FORMAT_LAYOUT_SHIFT,
  extendedInodeFields as field,
  layoutNumbers,
  roundUp,
  SLOT_SIZE,
} from './format.ts';
import type { DirectoryInode } from './inode.ts';
import { type ImageLayout, planLayout } from './layout.ts';
import type { PlannedInode } from './planned-inode.ts';
import { checkDevices, type DeviceSlot, writeSuperblock } from './superblock.ts';
import { writeXattrBody, xattrCount } from './xattr-table.ts';

/** What an image says of itself; the caller decides, so that the same tree gives the same bytes. */
export interface ErofsOptions {
  /** Seconds. */
  readonly buildTime: number;
  /** 16 bytes. */
  readonly uuid: Uint8Array;
}

/**
 * Writes a tree as an EROFS image without file data: extended inodes, blocks of 4096 bytes, files as chunk indexes
 * into the devices. The bytes depend on the arguments only, not on the order in which the maps were filled.
 *
 * @param root - not changed, not kept; an inode under several names becomes a hard link
 * @param devices - in the order of `device` in the extents; `tag` is 64 hex digits
 * @returns whole blocks, a new array
 * @throws {FormatError} SLUICE_EROFS_INVALID for what EROFS cannot hold: names above 255 bytes or with `/` or NUL,
 *   xattr values above 65535 bytes or 256 KiB on one inode, more than 65534 devices, an image above 1 GiB
 */
export function writeErofs(
  root: DirectoryInode,
  devices: readonly DeviceSlot[],
  options: ErofsOptions,
): Uint8Array<ArrayBuffer> {
  checkDevices(devices);
  const layout = planLayout(root, devices);
  const image = new Uint8Array(layout.blocks * BLOCK_SIZE);
  const out = Buffer.from(image.buffer);
  const view = new DataView(image.buffer);
  layout.xattrs.writeShared(out, layout.xattrBlkaddr * BLOCK_SIZE);
  for (const inode of layout.inodes) writeInode(out, view, layout, inode);
  writeSuperblock(image, {
    rootNid: layout.inodes[0]?.nid ?? 0,
    inodeCount: layout.inodes.length,
    blocks: layout.blocks,
    metaBlkaddr: layout.metaBlkaddr,
    xattrBlkaddr: layout.xattrBlkaddr,
    devices,
    ...options,
  });
  return image;
}

function writeInode(out: Buffer, view: DataView, layout: ImageLayout, planned: PlannedInode): void {
  const { inode } = planned;
  const offset = layout.metaBlkaddr * BLOCK_SIZE + planned.nid * SLOT_SIZE;
  const union = unionOf(planned, layout);
  view.setUint16(offset + field.format, FORMAT_EXTENDED | (layoutNumbers[planned.layout] << FORMAT_LAYOUT_SHIFT), true);
  view.setUint16(offset + field.xattrCount, xattrCount(planned.xattrs), true);
  view.setUint16(offset + field.mode, inode.mode, true);
  setInt64(view, offset + field.size, sizeOf(planned));
  view.setUint32(offset + field.union, union, true);
  view.setUint32(offset + field.uid, inode.uid, true);
  view.setUint32(offset + field.gid, inode.gid, true);
  setInt64(view, offset + field.mtime, inode.mtime);
  view.setUint32(offset + field.mtimeNs, inode.mtimeNs, true);
  view.setUint32(offset + field.nlink, planned.nlink, true);
  const body = offset + EXTENDED_INODE_SIZE;
  writeXattrBody(out, body, planned.xattrs);
  writeContent(out, view, (layout.dataBlkaddr + planned.dataBlock) * BLOCK_SIZE, body + planned.xattrs.size, planned);
}

/** @param blocks - offset of the inode's own blocks
 *  @param behind - offset of the first byte after inode and xattrs */
function writeContent(out: Buffer, view: DataView, blocks: number, behind: number, planned: PlannedInode): void {
  const { inode, directory } = planned;
  if (directory !== undefined) {
    directory.starts.forEach((_, block) => {
      const inTail = planned.layout === 'inline' && block === directory.starts.length - 1;
      writeDirectoryBlock(out, inTail ? behind : blocks + block * BLOCK_SIZE, directory, block);
    });
  } else if (inode.kind === 'symlink') {
    out.write(inode.target, planned.layout === 'inline' ? behind : blocks, 'latin1');
  } else if (inode.kind === 'file') {
    writeChunkIndexes(view, roundUp(behind, CHUNK_INDEX_SIZE), inode, planned.chunkBits);
  }
}

function sizeOf({ inode, directory }: PlannedInode): number {
  if (inode.kind === 'file') return inode.size;
  if (inode.kind === 'symlink') return inode.target.length;
  return directory?.size ?? 0;
}

/** i_u: chunk format, device number, or first block; 0 where the kernel does not look, which compresses best. */
function unionOf(planned: PlannedInode, layout: ImageLayout): number {
  const { inode } = planned;
  if (planned.layout === 'chunk') return CHUNK_INDEXES | planned.chunkBits;
  if (inode.kind === 'special') return encodeDevice(inode.major, inode.minor);
  const hasBlocks = planned.layout === 'plain' ? sizeOf(planned) > 0 : sizeOf(planned) > BLOCK_SIZE;
  return hasBlocks ? layout.dataBlkaddr + planned.dataBlock : 0;
}

function setInt64(view: DataView, offset: number, value: number): void {
  const high = Math.floor(value / 2 ** 32);
  view.setUint32(offset, value - high * 2 ** 32, true);
  view.setInt32(offset + 4, high, true);
}
