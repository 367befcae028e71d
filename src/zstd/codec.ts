import type { ByteVector, Codec, ZstdModule } from 'zstd-codec/lib/zstd-codec-binding-wasm.js';
import { FormatError } from '../errors.ts';
import {
  blockHeaderLength,
  checksumLength,
  type DataFrame,
  invalid,
  rawFrame,
  rawFrameLength,
  readBlockHeader,
  readFrameHeader,
  rleFrame,
} from './frame.ts';
import { compileZstd, heapReserve, instantiate } from './instance.ts';
import { zlibZstd } from './zlib.ts';

/**
 * The most bytes of content {@link compress} and {@link decompress} take: it has to fit a WebAssembly heap together with
 * its compressed form. A length read from hostile metadata cannot make us allocate more.
 */
export const maximumContentSize = 256 * 1024 * 1024;

/** Jobs up to this many bytes, input and output together, share an instance; a larger one gets its own, for once. */
const sharedLimit = 8 * 1024 * 1024;

let shared: ZstdModule | undefined;

/**
 * Makes {@link compress} and {@link decompress} usable in this thread. Calling it again costs nothing.
 *
 * @param purpose - `decompress` spares a thread that never compresses the 20 ms where node:zlib has zstd
 */
export async function loadZstd(purpose: 'both' | 'decompress' = 'both'): Promise<void> {
  if (purpose === 'decompress' && decompressNative !== undefined) return;
  await compileZstd();
  shared ??= instantiate(heapReserve + sharedLimit);
}

/**
 * Compresses into a single frame with content size, without checksum and dictionary. The same input and level give the
 * same bytes on every machine and Node, because it is always the same libzstd, that of zstd-codec: reproducible images
 * are worth more than the speed of another. What is one byte throughout becomes an RLE frame, what does not get smaller
 * a frame of raw blocks.
 *
 * @param bytes - read during the call only
 * @param level - 1 to 19
 * @returns the caller's
 * @throws {RangeError} for another level, and for more than {@link maximumContentSize} bytes
 * @throws {Error} before {@link loadZstd} is done
 */
export function compress(bytes: Uint8Array, level: number): Uint8Array {
  if (!Number.isInteger(level) || level < 1 || level > 19) throw new RangeError(`zstd level ${level} is not 1 to 19`);
  if (bytes.length > maximumContentSize) throw new RangeError(`zstd input of ${bytes.length} bytes is too long`);
  const first = bytes[0];
  if (first === undefined) return rawFrame(bytes);
  // The bytes equal themselves moved by one: memcmp speed, and over at the first difference.
  if (Buffer.compare(bytes.subarray(1), bytes.subarray(0, -1)) === 0) return rleFrame(first, bytes.length);
  const call = (codec: Codec, destination: ByteVector, source: ByteVector): number => {
    destination.resize(codec.compressBound(bytes.length), 0);
    return codec.compress(destination, source, level);
  };
  const frame = withVectors(bytes, rawFrameLength(bytes.length), call, (compressed) => compressed?.slice());
  if (frame === undefined) throw new Error(`libzstd cannot compress ${bytes.length} bytes at level ${level}`);
  return frame.length < rawFrameLength(bytes.length) ? frame : rawFrame(bytes);
}

/**
 * Decompresses a single frame whose content size is known from elsewhere, by node:zlib where it has zstd
 * (Node >= 22.15), else by zstd-codec. Nothing is decoded before the frame's own claims are checked.
 *
 * @param frame - read during the call only
 * @param length - of the content, bytes
 * @returns the caller's
 * @throws {FormatError} SLUICE_ZSTD_LENGTH when the frame claims or yields another length;
 * SLUICE_ZSTD_INVALID when it is damaged, needs a dictionary, or is not all of `frame`
 * @throws {Error} before {@link loadZstd} is done, where it is zstd-codec that decompresses
 */
export function decompress(frame: Uint8Array, length: number): Uint8Array {
  return (decompressNative ?? decompressPortable)(frame, length);
}

/**
 * {@link decompress} for whoever is done with the content at once. By zstd-codec wherever that is loaded: the content is
 * looked at where it lies, and node:zlib's buffers cost more than its code saves. Measured with a first read of 512 MiB on
 * Node 24: 293 MB a CPU second, 207 by node:zlib.
 * @param use - called with the content, which is gone when it returns
 * @returns what `use` does
 */
export function decompressFor<T>(frame: Uint8Array, length: number, use: (content: Uint8Array) => T): T {
  const isLoaded = shared !== undefined;
  return isLoaded || decompressNative === undefined
    ? usePortable(frame, length, use)
    : use(decompressNative(frame, length));
}

/** {@link decompress} by zstd-codec. */
export function decompressPortable(frame: Uint8Array, length: number): Uint8Array {
  return usePortable(frame, length, (content) => content.slice());
}

function usePortable<T>(frame: Uint8Array, length: number, use: (content: Uint8Array) => T): T {
  checkFrame(frame, length);
  const call = (codec: Codec, destination: ByteVector, source: ByteVector): number => {
    // libzstd takes no null pointer, not even for no bytes.
    destination.resize(Math.max(1, length), 0);
    return codec.decompress(destination, source);
  };
  return withVectors(frame, length, call, (content) => {
    if (content === undefined) throw invalid('a block is damaged');
    return use(checkLength(content, length));
  });
}

/** {@link decompress} by node:zlib; undefined where that has no zstd. */
export const decompressNative: typeof decompressPortable | undefined = nativeDecoder();

function nativeDecoder(): typeof decompressPortable | undefined {
  const { zstdDecompressSync } = zlibZstd;
  if (zstdDecompressSync === undefined) return undefined;
  return (frame, length) => {
    checkFrame(frame, length);
    // One byte more than there is to come, or zlib allocates a second buffer to learn that nothing comes.
    const options = { maxOutputLength: length + 1, chunkSize: Math.max(64, length + 1) };
    let content: Buffer;
    try {
      content = zstdDecompressSync(frame, options);
    } catch (cause) {
      throw new FormatError('SLUICE_ZSTD_INVALID', 'Cannot decompress zstd data: a block is damaged', { cause });
    }
    return checkLength(content, length);
  };
}

/** Compares what a frame says about itself with what it has to be. */
function checkFrame(frame: Uint8Array, length: number): void {
  if (!(length <= maximumContentSize)) throw wrongLength(length, `above the limit of ${maximumContentSize}`);
  const header = readFrameHeader(frame);
  if (header === undefined) throw invalid('the frame header is cut off');
  if (header.kind === 'skippable') throw invalid('it is a skippable frame');
  if (header.contentSize !== length) throw wrongLength(length, `the frame claims ${header.contentSize ?? 'none'}`);
  const end = endOfFrame(frame, header);
  if (end !== frame.length) throw invalid(`the frame is ${end} bytes long and not ${frame.length}`);
}

function endOfFrame(frame: Uint8Array, header: DataFrame): number {
  let offset = header.headerLength;
  for (let last = false; !last; ) {
    if (offset + blockHeaderLength > frame.length) throw invalid('the last block is missing');
    const block = readBlockHeader(frame, offset);
    offset += blockHeaderLength + block.storedLength;
    last = block.last;
  }
  return offset + (header.hasChecksum ? checksumLength : 0);
}

function checkLength(content: Uint8Array, length: number): Uint8Array {
  if (content.length !== length) throw wrongLength(length, `the frame holds ${content.length}`);
  return content;
}

function wrongLength(length: number, why: string): FormatError {
  return new FormatError('SLUICE_ZSTD_LENGTH', `Cannot decompress zstd data to ${length} bytes: ${why}`, {
    facts: { expected: length },
  });
}

/**
 * Runs one of libzstd's functions on a copy of `input`.
 *
 * @param outputLength - about, to find an instance with enough heap
 * @param call - sizes and fills the destination; returns how many bytes it filled, negative for an error
 * @param use - called with those bytes, a view of the heap; undefined for an error
 */
function withVectors<T>(
  input: Uint8Array,
  outputLength: number,
  call: (codec: Codec, destination: ByteVector, source: ByteVector) => number,
  use: (output: Uint8Array | undefined) => T,
): T {
  const zstd = instanceFor(input.length + outputLength);
  const codec = new zstd.ZstdCodec();
  const source = new zstd.VectorU8();
  const destination = new zstd.VectorU8();
  try {
    source.resize(input.length, 0);
    zstd.toTypedArrayView(source).set(input);
    const length = call(codec, destination, source);
    return use(length < 0 ? undefined : zstd.toTypedArrayView(destination).subarray(0, length));
  } finally {
    destination.delete();
    source.delete();
    codec.delete();
  }
}

function instanceFor(length: number): ZstdModule {
  if (shared === undefined) throw new Error('loadZstd() must have finished before zstd is used');
  return length <= sharedLimit ? shared : instantiate(heapReserve + length);
}
