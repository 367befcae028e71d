import type { DeviceSegment, HoleSegment, InlineSegment } from '../erofs/file-reader.ts';
import type { Bootstrap } from './bootstrap.ts';

/** A part of one chunk. */
export interface ChunkSegment {
  readonly kind: 'chunk';
  readonly fileOffset: number;
  readonly length: number;
  /** Index into the bootstrap's devices. */
  readonly device: number;
  /** Index into that device's chunk map. */
  readonly chunk: number;
  readonly offsetInChunk: number;
  readonly deviceOffset: number;
}

/** One part of a read. All lengths and offsets are bytes. */
export type Segment = HoleSegment | InlineSegment | ChunkSegment;

/**
 * Decides what a read of a regular file is made of; others get it. Pure.
 *
 * @param offset - in the file
 * @param length - what lies behind the end of the file is cut off
 * @returns segments in file order without gaps, none of which crosses a chunk's border; empty behind the end
 * @throws {FormatError} SLUICE_EROFS_* as ErofsReader.mapRange(), also for what lies outside of its device
 */
export function planRead(bootstrap: Bootstrap, nid: number, offset: number, length: number): Segment[] {
  const segments: Segment[] = [];
  for (const range of bootstrap.erofs.mapRange(nid, offset, length)) {
    if (range.kind === 'device') addChunks(segments, bootstrap, range);
    else segments.push(range);
  }
  return segments;
}

function addChunks(segments: Segment[], bootstrap: Bootstrap, range: DeviceSegment): void {
  const { device, deviceOffset, fileOffset, length } = range;
  // The reader has checked the range against the device table, and open() that against the chunk maps.
  const map = bootstrap.devices[device]?.chunks;
  if (map === undefined) throw new RangeError(`Cannot plan read: there is no device ${device}`);
  let done = 0;
  for (let chunk = map.find(deviceOffset); done < length; chunk++) {
    const position = deviceOffset + done;
    const offsetInChunk = position - map.uncompressedOffset(chunk);
    const count = Math.min(length - done, map.uncompressedLength(chunk) - offsetInChunk);
    segments.push({
      kind: 'chunk',
      fileOffset: fileOffset + done,
      length: count,
      device,
      chunk,
      offsetInChunk,
      deviceOffset: position,
    });
    done += count;
  }
}
