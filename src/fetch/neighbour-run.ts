import type { ChunkMap } from '../chunk/chunk-map.ts';
import { isMoreUrgent, type ReadPriority } from './fetch-store.ts';

/** A chunk of one device, and who wants it. */
export interface WantedChunk {
  readonly chunk: number;
  readonly priority: ReadPriority;
}

export interface RunLimits {
  /** Bytes nobody asked for that may lie between two chunks. */
  readonly gap: number;
  /** Bytes of the whole run. */
  readonly bytes: number;
  /** Whether a chunk comes already, by another request: no run goes across it. */
  readonly comes?: (chunk: number) => boolean;
}

/**
 * The run of chunks around `seed` that goes out as one request: those of its own priority, then the prefetch that follows.
 * Nothing less urgent ever goes before it, and background, which is bounded so as to delay nobody, follows nobody.
 * @param wanted - of one device, `seed` among them; others of the same chunk may be
 * @returns those of `wanted` that lie in the run, in blob order
 */
export function neighbourRun<T extends WantedChunk>(
  seed: T,
  wanted: readonly T[],
  chunks: ChunkMap,
  limits: RunLimits,
): T[] {
  const sorted = [...wanted].sort((a, b) => a.chunk - b.chunk || Number(a !== seed) - Number(b !== seed));
  const span = (first: number, last: number): number =>
    chunks.compressedOffset(last) + chunks.compressedLength(last) - chunks.compressedOffset(first);
  const isFree = (last: number, next: number): boolean => {
    for (let chunk = last + 1; chunk < next; chunk++) if (limits.comes?.(chunk) === true) return false;
    return true;
  };
  const isNear = (last: number, next: number): boolean =>
    span(last, next) - chunks.compressedLength(next) <= limits.gap + chunks.compressedLength(last) &&
    isFree(last, next);
  let [first, last] = [seed.chunk, seed.chunk];
  const extendsRun = (next: number): boolean => isNear(last, next) && span(first, next) <= limits.bytes;
  const peers = sorted.filter(({ priority }) => priority === seed.priority);
  const at = peers.indexOf(seed);
  for (const { chunk } of peers.slice(at + 1)) {
    if (!extendsRun(chunk)) break;
    last = chunk;
  }
  for (const { chunk } of peers.slice(0, at).reverse()) {
    if (!isNear(chunk, first) || span(chunk, last) > limits.bytes) break;
    first = chunk;
  }
  for (const { chunk, priority } of sorted) {
    if (chunk <= last || isMoreUrgent('prefetch', priority)) continue;
    if (priority !== 'prefetch' || seed.priority === 'background' || !extendsRun(chunk)) break;
    last = chunk;
  }
  return sorted.filter(({ chunk }) => chunk >= first && chunk <= last);
}
