import { FormatError } from '../errors.ts';
import { BLOCK_BITS, BLOCK_SIZE, CHUNK_BITS_MASK, CHUNK_INDEX_SIZE, chunkIndexFields, NULL_BLKADDR } from './format.ts';
import type { Extent, FileInode } from './inode.ts';
import type { DeviceSlot } from './superblock.ts';

/** log2 of the blocks of a chunk with data: 16 MiB, because fsck.erofs reads a whole chunk into memory. */
const dataChunkBits = 12;

/**
 * The largest chunk size at which every extent can be told: chunks are aligned in the file, and each is one run of
 * one device or a hole. A contiguous file gets one index per 16 MiB, whatever its place in the device. Only a file
 * stitched from several places pays for small chunks. A file that is all hole needs none of them, and gets the one
 * chunk that covers it (up to 8 TiB, the largest that the format has).
 *
 * @returns log2 of the blocks of a chunk, 0–31
 */
export function chooseChunkBits(file: FileInode): number {
  if (file.extents.length === 0) {
    return Math.min(CHUNK_BITS_MASK, Math.max(0, Math.ceil(Math.log2(file.size)) - BLOCK_BITS));
  }
  let bits = dataChunkBits;
  const shrinkTo = (border: number): void => {
    while (border % chunkSize(bits) !== 0) bits--;
  };
  for (const { offset, length } of joinExtents(file.extents)) {
    shrinkTo(offset);
    if (offset + length < file.size) shrinkTo(offset + length);
  }
  return bits;
}

/** Bytes of a chunk. */
export function chunkSize(bits: number): number {
  return 2 ** (BLOCK_BITS + bits);
}

/** Joins extents that continue each other in the file and in the device. The result may share elements with the input. */
function joinExtents(extents: readonly Extent[]): readonly Extent[] {
  if (extents.length < 2) return extents;
  const joined: Extent[] = [];
  for (const extent of extents) {
    const last = joined.at(-1);
    if (last !== undefined && continues(last, extent)) {
      joined[joined.length - 1] = { ...last, length: last.length + extent.length };
    } else {
      joined.push(extent);
    }
  }
  return joined;
}

function continues(last: Extent, next: Extent): boolean {
  return (
    last.device === next.device &&
    last.offset + last.length === next.offset &&
    last.deviceOffset + last.length === next.deviceOffset
  );
}

/** Writes the indexes of `file` at `offset` of `view`. */
export function writeChunkIndexes(view: DataView, offset: number, file: FileInode, bits: number): void {
  const size = chunkSize(bits);
  const end = offset + Math.ceil(file.size / size) * CHUNK_INDEX_SIZE;
  for (let hole = offset; hole < end; hole += CHUNK_INDEX_SIZE) {
    view.setUint32(hole + chunkIndexFields.blkaddr, NULL_BLKADDR, true);
  }
  for (const extent of joinExtents(file.extents)) {
    for (let covered = 0; covered < extent.length; covered += size) {
      const index = offset + ((extent.offset + covered) / size) * CHUNK_INDEX_SIZE;
      view.setUint16(index + chunkIndexFields.device, extent.device + 1, true);
      view.setUint32(index + chunkIndexFields.blkaddr, (extent.deviceOffset + covered) / BLOCK_SIZE, true);
    }
  }
}

/**
 * @throws {FormatError} SLUICE_EROFS_INVALID when an extent is out of order, not on blocks, or outside file or device
 */
export function checkExtents(file: FileInode, devices: readonly DeviceSlot[]): void {
  let position = 0;
  for (const extent of file.extents) {
    const { offset, length, device, deviceOffset } = extent;
    const end = offset + length;
    const inFile = offset >= position && length > 0 && end <= file.size;
    const onBlocks = offset % BLOCK_SIZE === 0 && (end === file.size || length % BLOCK_SIZE === 0);
    const lastBlock = Math.ceil((deviceOffset + length) / BLOCK_SIZE);
    const inDevice =
      deviceOffset >= 0 && deviceOffset % BLOCK_SIZE === 0 && lastBlock <= (devices[device]?.blocks ?? 0);
    if (!(inFile && onBlocks && inDevice)) {
      const facts = { offset, length, device, deviceOffset, size: file.size };
      throw new FormatError('SLUICE_EROFS_INVALID', `Cannot write file: bad extent at offset ${offset}`, { facts });
    }
    position = end;
  }
}
