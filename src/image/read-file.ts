import type { Bootstrap } from '../bootstrap/bootstrap.ts';
import type { ChunkStore } from '../bootstrap/chunk-store.ts';
import { planRead, type Segment } from '../bootstrap/plan-read.ts';

/** How much of a file is asked for at once: enough to keep several fetches going. */
const windowSize = 4 << 20;
const zeros = new Uint8Array(64 * 1024);

/**
 * Streams a regular file's content, holes as zeros, every byte verified.
 * @param size - of the file, bytes
 * @returns views of shared buffers: read only, use before the next step
 * @throws what `chunks` throws
 */
export async function* readFile(
  bootstrap: Bootstrap,
  chunks: ChunkStore,
  nid: number,
  size: number,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array> {
  for (let offset = 0; offset < size; offset += windowSize) {
    const segments = planRead(bootstrap, nid, offset, Math.min(windowSize, size - offset));
    const reads = segments.map((segment) => readSegment(segment, chunks, signal));
    // A failure of a later read must not count as unhandled while an earlier one is awaited.
    for (const read of reads) read.catch(() => undefined);
    for (const [i, segment] of segments.entries()) {
      if (segment.kind === 'hole') yield* zeroRun(segment.length);
      else yield (await reads[i]) as Uint8Array;
    }
  }
}

async function readSegment(segment: Segment, chunks: ChunkStore, signal?: AbortSignal): Promise<Uint8Array> {
  if (segment.kind === 'hole') return zeros.subarray(0, 0);
  if (segment.kind === 'inline') return segment.bytes;
  const chunk = await chunks.read(segment.device, segment.chunk, signal);
  return chunk.subarray(segment.offsetInChunk, segment.offsetInChunk + segment.length);
}

function* zeroRun(length: number): Generator<Uint8Array> {
  for (let left = length; left > 0; left -= zeros.length) yield zeros.subarray(0, Math.min(left, zeros.length));
}
