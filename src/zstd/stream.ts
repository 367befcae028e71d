import { pipeline, Readable } from 'node:stream';
import type { DecompressStream } from 'zstd-codec/lib/zstd-codec-binding-wasm.js';
import { FormatError } from '../errors.ts';
import { invalid, maximumBlockLength, maximumWindowSize } from './frame.ts';
import { FrameScanner } from './frame-scanner.ts';
import { compileZstd, instantiate } from './instance.ts';
import { zlibZstd } from './zlib.ts';

/** libzstd's own needs, 5.3 MiB, and its buffers besides the window. */
const heapBesidesWindow = 16 * 1024 * 1024;

type Decompress = (chunks: AsyncIterable<Uint8Array>) => AsyncGenerator<Uint8Array>;

/**
 * Decompresses a stream of zstd frames, skippable frames among them, as `zstd -dc` does; by node:zlib where it has zstd
 * (Node >= 22.15), else by zstd-codec. Memory is bounded by the window the frames ask for, 128 MiB at most, whatever the
 * stream unfolds to, and free again when the stream ends.
 *
 * @param chunks - cut anywhere; each is used until the next is asked for, and closed when the consumer stops early
 * @returns pieces of 128 KiB at most, the consumer's
 * @throws {FormatError} SLUICE_ZSTD_INVALID when the stream is damaged, empty, ends inside a frame, or has a frame that
 * needs a dictionary or too large a window. What came before is out by then
 */
export function decompressStream(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  return (decompressStreamNative ?? decompressStreamPortable)(chunks);
}

/** {@link decompressStream} by zstd-codec. */
export async function* decompressStreamPortable(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  await compileZstd();
  const zstd = instantiate(maximumWindowSize + heapBesidesWindow);
  const decoder = new zstd.ZstdDecompressStreamBinding();
  const scanner = new FrameScanner();
  try {
    if (!decoder.begin()) throw new Error('libzstd cannot start a stream');
    for await (const chunk of chunks) {
      for (const piece of scanner.push(chunk)) yield* decode(decoder, piece, scanner.betweenFrames);
    }
    scanner.end();
  } finally {
    decoder.delete();
  }
}

/** @param flush - at the end of a frame: zstd-codec holds back input until it has what libzstd would like to see */
function decode(decoder: DecompressStream, piece: Uint8Array, flush: boolean): Uint8Array[] {
  const output: Uint8Array[] = [];
  const take = (bytes: Uint8Array): void => {
    if (bytes.length > 0) output.push(bytes);
  };
  // A plain view: the binding copies with the constructor of what it is given, and Buffer's is deprecated.
  const plain = new Uint8Array(piece.buffer, piece.byteOffset, piece.length);
  if (!decoder.transform(plain, take) || (flush && !decoder.flush(take))) throw invalid('a block is damaged');
  return output;
}

/** {@link decompressStream} by node:zlib; undefined where that has no zstd. */
export const decompressStreamNative: Decompress | undefined = nativeStream();

function nativeStream(): Decompress | undefined {
  const { createZstdDecompress } = zlibZstd;
  if (createZstdDecompress === undefined) return undefined;
  return async function* (chunks) {
    const decoder = createZstdDecompress({ chunkSize: maximumBlockLength });
    // Whatever fails destroys the decoder with the error, and the loop throws it.
    pipeline(Readable.from(wholeWrites(chunks)), decoder, () => undefined);
    try {
      for await (const bytes of decoder) yield bytes;
    } catch (cause) {
      throw isZlibError(cause)
        ? new FormatError('SLUICE_ZSTD_INVALID', 'Cannot decompress zstd data: a block is damaged', { cause })
        : cause;
    }
  };
}

/**
 * The data frames of a stream, in pieces none of which reaches over the end of a frame: node:zlib drops what follows
 * there in the same piece (seen with 24.21), and stops for good at a skippable frame.
 */
async function* wholeWrites(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const scanner = new FrameScanner();
  for await (const chunk of chunks) {
    let pieces: Uint8Array[] = [];
    for (const piece of scanner.push(chunk)) {
      pieces.push(piece);
      if (!scanner.betweenFrames) continue;
      yield Buffer.concat(pieces);
      pieces = [];
    }
    if (pieces.length > 0) yield Buffer.concat(pieces);
  }
  scanner.end();
}

function isZlibError(error: unknown): boolean {
  return error instanceof Error && 'code' in error && /^Z(STD)?_/.test(String(error.code));
}
