import { planRead, type Segment } from '../bootstrap/plan-read.ts';
import { waitFor } from '../fetch/wait-for.ts';
import type { ImageMountOptions } from './mounted-image.ts';

/** A run of a file. Bytes. */
export interface FileRange {
  readonly nid: number;
  readonly offset: number;
  readonly length: number;
}

/** Where the bytes of a read come from: the parts of a mount that are its content. */
export type ReadSources = Pick<ImageMountOptions, 'bootstrap' | 'chunks' | 'devices' | 'hot'>;

type ChunkSegment = Extract<Segment, { kind: 'chunk' }>;

/**
 * Gets the bytes of a read, all its chunks at the same time.
 * @returns in file order, fewer bytes than asked for only at the end of the file; shared: read only
 * @throws what `chunks` throws
 */
export function collectRead(
  sources: ReadSources,
  { nid, offset, length }: FileRange,
  signal: AbortSignal,
): Promise<Uint8Array[]> {
  const segments = planRead(sources.bootstrap, nid, offset, length);
  return Promise.all(segments.map((segment) => readSegment(sources, segment, signal)));
}

async function readSegment(sources: ReadSources, segment: Segment, signal: AbortSignal): Promise<Uint8Array> {
  switch (segment.kind) {
    case 'hole':
      return new Uint8Array(segment.length);
    case 'inline':
      return segment.bytes;
    case 'chunk':
      return (await readHot(sources, segment, signal)) ?? (await readChunk(sources, segment, signal));
  }
}

/** What is neither cached nor hot, nor about to come in the hot blob, is undefined. Never fails but by the signal. */
async function readHot(
  { devices, hot }: ReadSources,
  { device, chunk, deviceOffset, length }: ChunkSegment,
  signal: AbortSignal,
): Promise<Uint8Array | undefined> {
  // Nobody waits for a page on its way whose chunk lies on this disk.
  if (hot === undefined || devices[device]?.load(chunk) !== undefined) return undefined;
  return waitFor(hot.read(device, deviceOffset, length), signal);
}

async function readChunk(
  { chunks }: ReadSources,
  { device, chunk, offsetInChunk, length }: ChunkSegment,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const bytes = await chunks.read(device, chunk, signal);
  return bytes.subarray(offsetInChunk, offsetInChunk + length);
}
