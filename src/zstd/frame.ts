import { FormatError } from '../errors.ts';

/**
 * zstd frames as bytes: what a decoder is told before it starts, and the frames that need no encoder.
 * All numbers are little-endian. Source: RFC 8878, section 3.1.
 */

const frameMagic = 0xfd2fb528;
/** The low four bits are the application's. */
const skippableMagic = 0x184d2a50;
const skippableHeaderLength = 8;
/** Of a block before and after compression. Section 3.1.1.2.4. */
export const maximumBlockLength = 128 * 1024;
export const blockHeaderLength = 3;
export const checksumLength = 4;
/** Magic number, descriptor, window, dictionary ID, content size. */
export const maximumHeaderLength = 18;

/**
 * The largest window a frame may ask for, 128 MiB as `zstd -d` allows without --long=31. A header of ten bytes can
 * claim terabytes, and a decoder that streams allocates what is claimed.
 */
export const maximumWindowSize = 128 * 1024 * 1024;

/** A frame that holds data. Sizes in bytes. */
export interface DataFrame {
  readonly kind: 'data';
  readonly headerLength: number;
  readonly windowSize: number;
  /** Undefined when the encoder did not know it. */
  readonly contentSize: number | undefined;
  /** Whether {@link checksumLength} bytes follow the last block. */
  readonly hasChecksum: boolean;
}

/** A frame that decoders pass over. Section 3.1.2. */
export interface SkippableFrame {
  readonly kind: 'skippable';
  readonly headerLength: number;
  readonly payloadLength: number;
}

export interface BlockHeader {
  readonly last: boolean;
  /** Bytes that follow the header. */
  readonly storedLength: number;
}

const blockType = { raw: 0, rle: 1, compressed: 2, reserved: 3 } as const;

/** Bits of the frame header descriptor. Section 3.1.1.1.1. */
const descriptorBit = { singleSegment: 0x20, reserved: 0x08, checksum: 0x04 } as const;

/**
 * Reads the header of the frame that starts `bytes`.
 *
 * @param bytes - not kept
 * @returns undefined when the header goes on behind the end of `bytes`
 * @throws {FormatError} SLUICE_ZSTD_INVALID when no frame starts here, or one that needs a dictionary or a window above
 * {@link maximumWindowSize}
 */
export function readFrameHeader(bytes: Uint8Array): DataFrame | SkippableFrame | undefined {
  if (bytes.length < 5) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const magic = view.getUint32(0, true);
  if ((magic & ~0xf) >>> 0 === skippableMagic) {
    if (bytes.length < skippableHeaderLength) return undefined;
    return { kind: 'skippable', headerLength: skippableHeaderLength, payloadLength: view.getUint32(4, true) };
  }
  if (magic !== frameMagic) throw invalid(`no zstd frame starts with 0x${magic.toString(16)}`);
  return readDataFrameHeader(view);
}

function readDataFrameHeader(view: DataView): DataFrame | undefined {
  const descriptor = view.getUint8(4);
  if ((descriptor & descriptorBit.reserved) !== 0) throw invalid('a reserved bit of the frame header is set');
  const singleSegment = (descriptor & descriptorBit.singleSegment) !== 0;
  const windowLength = singleSegment ? 0 : 1;
  const dictionaryLength = [0, 1, 2, 4][descriptor & 3] ?? 0;
  const sizeLength = [singleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6] ?? 0;
  const headerLength = 5 + windowLength + dictionaryLength + sizeLength;
  if (view.byteLength < headerLength) return undefined;

  for (let i = 0; i < dictionaryLength; i++) {
    if (view.getUint8(5 + windowLength + i) !== 0) throw invalid('it needs a dictionary');
  }
  const contentSize = readContentSize(view, headerLength - sizeLength, sizeLength);
  const windowSize = singleSegment ? (contentSize ?? 0) : windowSizeOf(view.getUint8(5));
  if (windowSize > maximumWindowSize) {
    throw invalid(`it needs a window of ${windowSize} bytes, above the limit of ${maximumWindowSize}`);
  }
  const hasChecksum = (descriptor & descriptorBit.checksum) !== 0;
  return { kind: 'data', headerLength, windowSize, contentSize, hasChecksum };
}

/** Section 3.1.1.1.4: the two-byte form counts from 256. */
function readContentSize(view: DataView, offset: number, length: number): number | undefined {
  switch (length) {
    case 0:
      return undefined;
    case 1:
      return view.getUint8(offset);
    case 2:
      return view.getUint16(offset, true) + 256;
    case 4:
      return view.getUint32(offset, true);
    default: {
      const size = view.getBigUint64(offset, true);
      if (size > BigInt(Number.MAX_SAFE_INTEGER)) throw invalid(`it claims ${size} bytes of content`);
      return Number(size);
    }
  }
}

/** Section 3.1.1.1.2: up to 3.75 TiB, so no shifts. */
function windowSizeOf(descriptor: number): number {
  const base = 2 ** (10 + (descriptor >> 3));
  return base + (base / 8) * (descriptor & 7);
}

/**
 * Reads the block header at `offset`. Section 3.1.1.2.
 *
 * @param bytes - has {@link blockHeaderLength} bytes there
 * @throws {FormatError} SLUICE_ZSTD_INVALID for the reserved type, and for a block larger than blocks may be
 */
export function readBlockHeader(bytes: Uint8Array, offset: number): BlockHeader {
  const header = (bytes[offset] ?? 0) | ((bytes[offset + 1] ?? 0) << 8) | ((bytes[offset + 2] ?? 0) << 16);
  const type = (header >> 1) & 3;
  const size = header >> 3;
  if (type === blockType.reserved) throw invalid('it has a block of the reserved type');
  if (size > maximumBlockLength) throw invalid(`it has a block of ${size} bytes`);
  return { last: (header & 1) !== 0, storedLength: type === blockType.rle ? 1 : size };
}

/**
 * A frame that decoders pass over, around `payload` (copied).
 *
 * @throws {RangeError} when the payload is 4 GiB or longer
 */
export function skippableFrame(payload: Uint8Array): Uint8Array {
  if (payload.length > 0xffffffff) throw new RangeError(`A skippable frame cannot hold ${payload.length} bytes`);
  const frame = new Uint8Array(skippableHeaderLength + payload.length);
  const view = new DataView(frame.buffer);
  view.setUint32(0, skippableMagic, true);
  view.setUint32(4, payload.length, true);
  frame.set(payload, skippableHeaderLength);
  return frame;
}

/** The length of {@link rawFrame} for `length` bytes. */
export function rawFrameLength(length: number): number {
  return storedHeader(length).length + blockCount(length) * blockHeaderLength + length;
}

/** One frame of raw blocks: the bytes as they are (copied). */
export function rawFrame(bytes: Uint8Array): Uint8Array {
  return storedFrame(bytes.length, blockType.raw, (offset, length) => bytes.subarray(offset, offset + length));
}

/** One frame that says `length` times the byte `value`: four bytes for each 128 KiB. */
export function rleFrame(value: number, length: number): Uint8Array {
  const content = Uint8Array.of(value);
  return storedFrame(length, blockType.rle, () => content);
}

function storedFrame(
  length: number,
  type: number,
  contentAt: (offset: number, length: number) => Uint8Array,
): Uint8Array {
  const parts: Uint8Array[] = [storedHeader(length)];
  const count = blockCount(length);
  for (let i = 0; i < count; i++) {
    const offset = i * maximumBlockLength;
    const size = Math.min(maximumBlockLength, length - offset);
    const header = (size << 3) | (type << 1) | (i === count - 1 ? 1 : 0);
    parts.push(Uint8Array.of(header, header >> 8, header >> 16), contentAt(offset, size));
  }
  return Buffer.concat(parts);
}

/** Also an empty frame has a block: the last one is what ends a frame. */
function blockCount(length: number): number {
  return Math.max(1, Math.ceil(length / maximumBlockLength));
}

/** Single segment, content size, no checksum: the header libzstd writes when it knows the size and has no dictionary. */
function storedHeader(length: number): Uint8Array {
  const form = length < 256 ? 0 : length < 256 + 0x10000 ? 1 : 2;
  const header = new Uint8Array(5 + (1 << form));
  const view = new DataView(header.buffer);
  view.setUint32(0, frameMagic, true);
  view.setUint8(4, (form << 6) | descriptorBit.singleSegment);
  if (form === 0) view.setUint8(5, length);
  else if (form === 1) view.setUint16(5, length - 256, true);
  else view.setUint32(5, length, true);
  return header;
}

/** A {@link FormatError} about a frame. @param why - ends the sentence */
export function invalid(why: string): FormatError {
  return new FormatError('SLUICE_ZSTD_INVALID', `Cannot decompress zstd data: ${why}`);
}
