import { MerkleBuilder } from '../digest/merkle.ts';
import type { BlobFile } from './blob-file.ts';
import type { CompressedChunks, CompressRequest } from './compress-chunks.ts';
import type { ChunkPlan } from './plan-layer.ts';

/** Uncompressed bytes a worker takes at once: enough to keep messages rare, little enough to share a layer evenly. */
const sliceSize = 2 << 20;

/** What is known of a layer once its chunks are compressed. */
export interface CompressedLayer {
  /** Bytes of each frame. */
  readonly frameLengths: readonly number[];
  /** The fs-verity digest of the device image, 32 bytes. */
  readonly verityDigest: Uint8Array;
}

/**
 * Compresses a layer's chunks in worker threads and appends them to `file` in order. Holds at most `parallel` slices.
 *
 * @param compress - one slice, in a worker thread
 * @param onBytes - told how many uncompressed bytes are done
 */
export async function compressLayer(
  chunks: readonly ChunkPlan[],
  file: BlobFile,
  compress: (slice: Pick<CompressRequest, 'chunkLengths' | 'pieces'>) => Promise<CompressedChunks>,
  parallel: number,
  onBytes: (done: number) => void,
): Promise<CompressedLayer> {
  const frameLengths: number[] = [];
  const merkle = new MerkleBuilder();
  let done = 0;
  const running: Promise<CompressedChunks>[] = [];
  const take = async (): Promise<void> => {
    const slice = await running.shift();
    if (slice === undefined) return;
    await file.append(slice.frames, slice.raw);
    merkle.addPageHashes(slice.pageHashes);
    frameLengths.push(...slice.frameLengths);
    done += slice.raw.length;
    onBytes(done);
  };
  try {
    for (const slice of slices(chunks)) {
      if (running.length >= parallel) await take();
      running.push(
        compress({
          chunkLengths: Uint32Array.from(slice, (chunk) => chunk.length),
          pieces: Float64Array.from(slice.flatMap((chunk) => chunk.pieces)),
        }),
      );
    }
    while (running.length > 0) await take();
    return { frameLengths, verityDigest: merkle.finish().digest };
  } finally {
    await Promise.allSettled(running);
  }
}

function* slices(chunks: readonly ChunkPlan[]): Generator<ChunkPlan[]> {
  let slice: ChunkPlan[] = [];
  let size = 0;
  for (const chunk of chunks) {
    if (slice.length > 0 && size + chunk.length > sliceSize) {
      yield slice;
      slice = [];
      size = 0;
    }
    slice.push(chunk);
    size += chunk.length;
  }
  if (slice.length > 0) yield slice;
}
