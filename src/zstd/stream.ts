import type { DecompressStream } from 'zstd-codec/lib/zstd-codec-binding-wasm.js';
import { invalid, maximumWindowSize } from './frame.ts';
import { FrameScanner } from './frame-scanner.ts';
import { compileZstd, instantiate } from './instance.ts';

/** libzstd's own needs, 5.3 MiB, and its buffers besides the window. */
const heapBesidesWindow = 16 * 1024 * 1024;

/**
 * Decompresses a stream of zstd frames, skippable frames among them, as `zstd -dc` does. Memory is bounded by the
 * window the frames ask for, 128 MiB at most, whatever the stream unfolds to; it is free again when the stream ends.
 *
 * Uses zstd-codec on every Node: node:zlib drops what follows the end of a frame in the same chunk (seen with 24.21).
 * @param chunks - cut anywhere; each is used until the next is asked for, and closed when the consumer stops early
 * @returns pieces of 128 KiB at most, the consumer's
 * @throws {FormatError} SLUICE_ZSTD_INVALID when the stream is damaged, empty, ends inside a frame, or has a frame that
 * needs a dictionary or too large a window. What came before is out by then
 */
export async function* decompressStream(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
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
