import type { Duplex } from 'node:stream';
import zlib from 'node:zlib';

/** What node:zlib has of zstd since Node 22.15, and the types of Node 20 have not. */
interface ZlibZstd {
  readonly zstdDecompressSync?: (
    frame: Uint8Array,
    options: { readonly maxOutputLength: number; readonly chunkSize: number },
  ) => Buffer;
  readonly createZstdDecompress?: (options: { readonly chunkSize: number }) => Duplex;
}

/** node:zlib, of which the members of {@link ZlibZstd} may be missing. */
export const zlibZstd: ZlibZstd = zlib as object;
