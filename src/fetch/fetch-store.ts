import type { ChunkStore } from '../bootstrap/chunk-store.ts';

/**
 * Who wants a chunk, most urgent first: a reader who waits, somebody who expects a reader, somebody who wants all of the
 * image some day.
 */
export const priorities = ['demand', 'prefetch', 'background'] as const;
export type ReadPriority = (typeof priorities)[number];

export function isMoreUrgent(a: ReadPriority, b: ReadPriority): boolean {
  return priorities.indexOf(a) < priorities.indexOf(b);
}

/** A {@link ChunkStore} that knows who asks. The policies between cache and network wrap one another by it. */
export interface FetchStore extends ChunkStore {
  /** @param priority - default: demand */
  read(device: number, chunk: number, signal?: AbortSignal, priority?: ReadPriority): Promise<Uint8Array>;
}

/** Where reads wait until it is their turn. */
export interface FetchQueue extends FetchStore {
  /** Somebody wants a chunk more urgently. Does nothing when nobody waits for it any more, or more urgently still. */
  promote(device: number, chunk: number, priority: ReadPriority): void;
}

/** Chunks that go out as one range request: indices in ascending order, neighbours but for small gaps. */
export interface ChunkBatch {
  readonly device: number;
  readonly chunks: readonly number[];
}

/** What became of one chunk of a batch. */
export type ChunkResult = { readonly bytes: Uint8Array } | { readonly error: unknown };

/** Whoever watches a batch come in. */
export interface BatchObserver {
  /**
   * A chunk is there, or its own error (it is damaged) in place of it, and the others go on. At most once a chunk, in
   * order.
   */
  delivered(chunk: number, result: ChunkResult): void;
  /** Bytes came from the network. */
  received(bytes: number): void;
  /** As {@link ChunkKeeper.keep}: a chunk that is kept is delivered as {@link keptChunk}. */
  keep?(chunk: number, bytes: Uint8Array): boolean;
}

/** Where batches are read from. */
export interface BatchSource {
  /**
   * Reads the chunks of `batch` in one go, and hands over each as soon as it is there.
   * @throws {SluiceError} what hit the request as a whole: the chunks that were not delivered share it
   */
  readBatch(batch: ChunkBatch, observer: BatchObserver, signal: AbortSignal): Promise<void>;
}

/** Where chunks are kept as they come, asked for or not: a cache. */
export interface ChunkKeeper {
  /** Whether it has the chunk; then it need not come along. */
  has(device: number, chunk: number): boolean;
  /**
   * @param bytes - verified; gone when this returns
   * @returns whether it has the chunk now
   */
  keep(device: number, chunk: number, bytes: Uint8Array): boolean;
}

/** What stands for the bytes of a chunk that a {@link ChunkKeeper} has taken. No chunk is empty. */
export const keptChunk: Uint8Array = new Uint8Array(0);

/** A chunk as the key of a map. */
export function chunkKey(device: number, chunk: number): number {
  return device * 2 ** 32 + chunk;
}
