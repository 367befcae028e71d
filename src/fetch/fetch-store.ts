import type { ChunkStore } from '../bootstrap/chunk-store.ts';

/** Who waits: a reader, or nobody yet. Prefetch never goes before demand. */
export type ReadPriority = 'demand' | 'prefetch';

/** A {@link ChunkStore} whose reads wait in a queue. The policies between cache and network wrap one another by it. */
export interface FetchStore extends ChunkStore {
  read(device: number, chunk: number, signal?: AbortSignal, priority?: ReadPriority): Promise<Uint8Array>;
  /** A chunk asked for as prefetch is wanted now. Does nothing when it is not waiting any more. */
  promote(device: number, chunk: number): void;
}

/** Chunks that go out as one range request: indices in ascending order, neighbours but for small gaps. */
export interface ChunkBatch {
  readonly device: number;
  readonly chunks: readonly number[];
}

/** What became of one chunk of a batch. */
export type ChunkResult = { readonly bytes: Uint8Array } | { readonly error: unknown };

/** Where batches are read from. */
export interface BatchSource {
  /**
   * Reads the chunks of `batch` in one go, and hands over each as soon as it is there.
   * @param deliver - called at most once a chunk, in order; an error is this chunk's own (it is damaged) and the others
   *   go on
   * @throws {SluiceError} what hit the request as a whole: the chunks that were not delivered share it
   */
  readBatch(
    batch: ChunkBatch,
    deliver: (chunk: number, result: ChunkResult) => void,
    signal: AbortSignal,
  ): Promise<void>;
}

/** A chunk as the key of a map. */
export function chunkKey(device: number, chunk: number): number {
  return device * 2 ** 32 + chunk;
}
