import { cutFiles } from '../chunk/cut.ts';
import { defaultCutParameters } from '../chunk/parameters.ts';
import type { DigestAlgorithm } from '../digest/hash.ts';
import { SpoolReader } from './spool.ts';

/** A job of the worker pool: cut a layer's placed files and hash the chunks. */
export interface CutRequest {
  readonly kind: 'cut';
  readonly spool: string;
  /** The runs to cut, in device order: offset in the spool and length pairs, bytes. */
  readonly runs: Float64Array;
  readonly algorithm: DigestAlgorithm;
}

export interface CutLayer {
  /** Bytes of each chunk. */
  readonly lengths: Uint32Array;
  /** 32 bytes a chunk. */
  readonly digests: Uint8Array;
}

/** Cuts a layer into chunks; reads every page once. */
export function cutLayer(request: CutRequest): CutLayer {
  const { runs, algorithm } = request;
  const files = Array.from({ length: runs.length / 2 }, (_, i) => ({ size: runs[2 * i + 1] ?? 0 }));
  const spool = new SpoolReader(request.spool);
  try {
    const read = (file: number, offset: number, into: Uint8Array): void => {
      spool.read((runs[2 * file] ?? 0) + offset, into);
    };
    const chunks = cutFiles(files, read, defaultCutParameters, algorithm);
    return {
      lengths: Uint32Array.from(chunks, (chunk) => chunk.length),
      digests: Buffer.concat(chunks.map((chunk) => chunk.digest)),
    };
  } finally {
    spool.close();
  }
}
