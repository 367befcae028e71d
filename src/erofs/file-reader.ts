import { chunkSize } from './chunk-map.ts';
import { type FlatRange, locateFlat } from './flat-data.ts';
import {
  BLOCK_MAP_ENTRY_SIZE,
  BLOCK_SIZE,
  CHUNK_BITS_MASK,
  CHUNK_INDEX_SIZE,
  CHUNK_INDEXES,
  chunkIndexFields,
  NULL_BLKADDR,
  roundUp,
} from './format.ts';
import { type ImageView, invalid, unsupported } from './image-view.ts';
import type { Extent } from './inode.ts';
import type { ErofsInode } from './inode-reader.ts';

/** A run of zeros. */
export interface HoleSegment {
  readonly kind: 'hole';
  readonly fileOffset: number;
  readonly length: number;
}

/** A run of bytes of one device. */
export interface DeviceSegment {
  readonly kind: 'device';
  readonly fileOffset: number;
  readonly length: number;
  /** Index into the device table, from 0. */
  readonly device: number;
  readonly deviceOffset: number;
}

/** A run of bytes of the image itself. */
export interface InlineSegment {
  readonly kind: 'inline';
  readonly fileOffset: number;
  readonly length: number;
  /** A view of the image. */
  readonly bytes: Uint8Array;
}

/** Where a run of a file's bytes is found. All numbers are bytes. */
export type Segment = HoleSegment | DeviceSegment | InlineSegment;

/** How the chunk indexes of an inode are stored. */
interface ChunkFormat {
  /** Bytes of a chunk. */
  readonly size: number;
  /** Bytes of an index: 8, or 4 for bare addresses. */
  readonly unit: number;
  /** Byte offset of the first index. */
  readonly start: number;
}

/**
 * Says where the bytes `offset` to `offset + length` of a file or symlink are found, in order and without gaps.
 * What lies past the end of the file is left out. Neighbouring chunks that continue each other become one segment.
 *
 * @throws {FormatError} SLUICE_EROFS_OUT_OF_BOUNDS, SLUICE_EROFS_INVALID for a device that does not exist,
 *   SLUICE_EROFS_UNSUPPORTED for an unknown chunk format
 */
export function mapFile(image: ImageView, inode: ErofsInode, offset: number, length: number): Segment[] {
  const end = Math.min(inode.size, offset + length);
  if (offset >= end) return [];
  return inode.layout === 'chunk' ? mapChunks(image, inode, offset, end) : mapFlat(image, inode, offset, end);
}

/**
 * All data of a file, runs joined. Holes are what is left out.
 *
 * @throws {FormatError} as {@link mapFile}, and SLUICE_EROFS_UNSUPPORTED for data in the image itself
 */
export function listExtents(image: ImageView, inode: ErofsInode): Extent[] {
  const extents: Extent[] = [];
  for (const segment of mapFile(image, inode, 0, inode.size)) {
    if (segment.kind === 'inline') throw unsupported(`data of nid ${inode.nid} lies in the image`, { nid: inode.nid });
    if (segment.kind === 'hole') continue;
    const { fileOffset, length, device, deviceOffset } = segment;
    extents.push({ offset: fileOffset, length, device, deviceOffset });
  }
  return extents;
}

/** Bytes of an inode's chunk indexes. */
export function indexBytes(inode: ErofsInode): number {
  if (inode.layout !== 'chunk') return 0;
  const { size, unit } = chunkFormat(inode);
  return Math.ceil(inode.size / size) * unit;
}

function chunkFormat({ nid, union, xattrOffset, xattrSize }: ErofsInode): ChunkFormat {
  const format = union & 0xffff;
  if (format & ~(CHUNK_BITS_MASK | CHUNK_INDEXES)) {
    throw unsupported(`chunk format 0x${format.toString(16)} of nid ${nid}`, { nid, format });
  }
  const unit = format & CHUNK_INDEXES ? CHUNK_INDEX_SIZE : BLOCK_MAP_ENTRY_SIZE;
  return { size: chunkSize(format & CHUNK_BITS_MASK), unit, start: roundUp(xattrOffset + xattrSize, unit) };
}

function mapChunks(image: ImageView, inode: ErofsInode, offset: number, end: number): Segment[] {
  const { size, unit, start } = chunkFormat(inode);
  const first = Math.floor(offset / size);
  const last = Math.ceil(end / size);
  image.check(start + first * unit, (last - first) * unit, 'chunk indexes');
  const segments: Segment[] = [];
  let open: Segment | undefined;
  for (let chunk = first; chunk < last; chunk++) {
    const from = Math.max(offset, chunk * size);
    const until = Math.min(end, (chunk + 1) * size);
    const next = mapChunk(image, start + chunk * unit, unit, from, until - from, from - chunk * size);
    const joined: Segment | undefined = open && join(open, next);
    if (open !== undefined && joined === undefined) segments.push(open);
    open = joined ?? next;
  }
  if (open !== undefined) segments.push(open);
  return segments;
}

function mapChunk(
  image: ImageView,
  index: number,
  unit: number,
  fileOffset: number,
  length: number,
  skip: number,
): Segment {
  const indexed = unit === CHUNK_INDEX_SIZE;
  const blkaddr = image.view.getUint32(indexed ? index + chunkIndexFields.blkaddr : index, true);
  if (blkaddr === NULL_BLKADDR) return { kind: 'hole', fileOffset, length };
  const id = indexed ? image.view.getUint16(index + chunkIndexFields.device, true) & image.deviceMask : 0;
  const start = blkaddr * BLOCK_SIZE + skip;
  if (id === 0) {
    image.check(start, length, 'data');
    return { kind: 'inline', fileOffset, length, bytes: image.bytes.subarray(start, start + length) };
  }
  const device = image.superblock.devices[id - 1];
  if (device === undefined || start + length > device.blocks * BLOCK_SIZE) {
    throw invalid(`chunk at ${start} of device ${id}, which has no such byte`, { device: id, offset: start, length });
  }
  return { kind: 'device', fileOffset, length, device: id - 1, deviceOffset: start };
}

/** Two segments as one, where the second continues the first. */
function join(a: Segment, b: Segment): Segment | undefined {
  if (a.kind === 'hole' && b.kind === 'hole') return { ...a, length: a.length + b.length };
  if (a.kind !== 'device' || b.kind !== 'device') return undefined;
  if (a.device !== b.device || a.deviceOffset + a.length !== b.deviceOffset) return undefined;
  return { ...a, length: a.length + b.length };
}

function mapFlat(image: ImageView, inode: ErofsInode, offset: number, end: number): Segment[] {
  const segments: Segment[] = [];
  const range: FlatRange = { start: 0, length: 0 };
  for (let position = offset; position < end; position += range.length) {
    locateFlat(image, inode, position, range);
    const length = Math.min(range.length, end - position);
    const bytes = image.bytes.subarray(range.start, range.start + length);
    segments.push({ kind: 'inline', fileOffset: position, length, bytes });
  }
  return segments;
}
