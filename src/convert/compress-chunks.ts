import { pageHashes } from '../digest/merkle.ts';
import { compress } from '../zstd/codec.ts';
import { SpoolReader } from './spool.ts';

/** A job of the worker pool: some neighbouring chunks of a device image. */
export interface CompressRequest {
  readonly kind: 'compress';
  readonly spool: string;
  readonly level: number;
  /** Bytes of each chunk. */
  readonly chunkLengths: Uint32Array;
  /** The chunks' content in order, as runs of the spool: offset and length pairs, bytes. */
  readonly pieces: Float64Array;
}

export interface CompressedChunks {
  /** The chunks one after the other, uncompressed. */
  readonly raw: Uint8Array;
  /** Of the pages of `raw`, 32 bytes each: leaves of the device image's Merkle tree. */
  readonly pageHashes: Uint8Array;
  /** Their frames one after the other. */
  readonly frames: Uint8Array;
  readonly frameLengths: Uint32Array;
}

/** Reads chunks from the spool, makes one independent zstd frame of each, and hashes their pages. */
export function compressChunks(request: CompressRequest): CompressedChunks {
  const { chunkLengths, pieces, level } = request;
  const raw = readPieces(request.spool, pieces);
  const frames: Uint8Array[] = [];
  let offset = 0;
  for (const length of chunkLengths) {
    frames.push(compress(raw.subarray(offset, offset + length), level));
    offset += length;
  }
  return {
    raw,
    pageHashes: pageHashes(raw),
    frames: Buffer.concat(frames),
    frameLengths: Uint32Array.from(frames, (frame) => frame.length),
  };
}

function readPieces(path: string, pieces: Float64Array): Uint8Array {
  let total = 0;
  for (let i = 1; i < pieces.length; i += 2) total += pieces[i] ?? 0;
  const raw = new Uint8Array(total);
  const spool = new SpoolReader(path);
  try {
    let at = 0;
    for (let i = 0; i < pieces.length; i += 2) {
      const length = pieces[i + 1] ?? 0;
      spool.read(pieces[i] ?? 0, raw.subarray(at, at + length));
      at += length;
    }
  } finally {
    spool.close();
  }
  return raw;
}
