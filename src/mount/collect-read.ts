import { planRead, type Segment } from '../bootstrap/plan-read.ts';
import { waitFor } from '../fetch/wait-for.ts';
import { maximumRead } from '../fuse/reply.ts';
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

/** The bytes of a segment; undefined for a hole, and for what is in the cache now. */
type Found = Uint8Array | undefined;

/** As much as one request asks for. Used by one read after the other, each for as long as its `use` lasts. */
const shared = Buffer.alloc(maximumRead);

/** A chunk that was evicted between coming and being read comes again. */
const maximumAttempts = 8;

/**
 * Gets the bytes of a read, all its chunks at the same time.
 * @param use - called once, with the bytes; fewer than asked for only at the end of the file. They are gone when it
 *   returns
 * @throws what `chunks` throws
 */
export async function collectRead(
  sources: ReadSources,
  { nid, offset, length }: FileRange,
  signal: AbortSignal,
  use: (bytes: Uint8Array) => void,
): Promise<void> {
  const segments = planRead(sources.bootstrap, nid, offset, length);
  for (let attempt = 1; ; attempt++) {
    const isLast = attempt === maximumAttempts;
    const found = await Promise.all(segments.map((segment) => findSegment(sources, segment, signal, isLast)));
    const bytes = joined(sources, segments, found);
    if (bytes !== undefined) return use(bytes);
  }
}

/** @returns a view of {@link shared}, or larger; undefined when a chunk is not in the cache any more */
function joined(
  { devices }: ReadSources,
  segments: readonly Segment[],
  found: readonly Found[],
): Uint8Array | undefined {
  const length = segments.reduce((sum, segment) => sum + segment.length, 0);
  const bytes = length <= shared.length ? shared.subarray(0, length) : Buffer.alloc(length);
  let filled = 0;
  for (const [i, segment] of segments.entries()) {
    const part = bytes.subarray(filled, filled + segment.length);
    const content = found[i];
    if (content !== undefined) part.set(content);
    else if (segment.kind === 'hole') part.fill(0);
    else if (segment.kind !== 'chunk' || !devices[segment.device]?.readInto(segment.chunk, segment.offsetInChunk, part))
      return undefined;
    filled += segment.length;
  }
  return bytes;
}

async function findSegment(
  sources: ReadSources,
  segment: Segment,
  signal: AbortSignal,
  isLast: boolean,
): Promise<Found> {
  if (segment.kind === 'inline') return segment.bytes;
  if (segment.kind === 'hole') return undefined;
  return (await readHot(sources, segment, signal)) ?? (await findChunk(sources, segment, signal, isLast));
}

/** What is neither cached nor hot, nor about to come in the hot blob, is undefined. Never fails but by the signal. */
async function readHot(
  { devices, hot }: ReadSources,
  { device, chunk, deviceOffset, length }: ChunkSegment,
  signal: AbortSignal,
): Promise<Uint8Array | undefined> {
  // Nobody waits for a page on its way whose chunk lies on this disk.
  if (hot === undefined || devices[device]?.has(chunk) === true) return undefined;
  return waitFor(hot.read(device, deviceOffset, length), signal);
}

async function findChunk(
  { chunks, devices }: ReadSources,
  { device, chunk, offsetInChunk, length }: ChunkSegment,
  signal: AbortSignal,
  isLast: boolean,
): Promise<Found> {
  const isKept = !isLast && devices[device] !== undefined;
  const bytes = isKept ? await chunks.bring(device, chunk, signal) : await chunks.read(device, chunk, signal);
  return bytes?.subarray(offsetInChunk, offsetInChunk + length);
}
