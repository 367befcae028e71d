import type { Bootstrap } from '../bootstrap/bootstrap.ts';
import type { ChunkStore } from '../bootstrap/chunk-store.ts';
import { planRead, type Segment } from '../bootstrap/plan-read.ts';

/** A run of a file. Bytes. */
export interface FileRange {
  readonly nid: number;
  readonly offset: number;
  readonly length: number;
}

/**
 * Gets the bytes of a read, all its chunks at the same time.
 * @returns in file order, fewer bytes than asked for only at the end of the file; shared: read only
 * @throws what `chunks` throws
 */
export function collectRead(
  bootstrap: Bootstrap,
  chunks: ChunkStore,
  { nid, offset, length }: FileRange,
  signal: AbortSignal,
): Promise<Uint8Array[]> {
  const segments = planRead(bootstrap, nid, offset, length);
  return Promise.all(segments.map((segment) => readSegment(chunks, segment, signal)));
}

async function readSegment(chunks: ChunkStore, segment: Segment, signal: AbortSignal): Promise<Uint8Array> {
  switch (segment.kind) {
    case 'hole':
      return new Uint8Array(segment.length);
    case 'inline':
      return segment.bytes;
    case 'chunk': {
      const chunk = await chunks.read(segment.device, segment.chunk, signal);
      return chunk.subarray(segment.offsetInChunk, segment.offsetInChunk + segment.length);
    }
  }
}
