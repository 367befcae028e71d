import { channel } from 'node:diagnostics_channel';
import type { ReadPriority } from './fetch-store.ts';

/** Published on `sluice:fetch:request` when a range request has ended, well or not. */
export interface RangeRequested {
  readonly device: number;
  /** Bytes of the range, in the blob. */
  readonly bytes: number;
  /** Chunks asked for, which may be fewer than the range holds. */
  readonly chunks: number;
  readonly priority: ReadPriority;
  /** As in `BlobPlace.name`. */
  readonly place: string;
  readonly durationMs: number;
  readonly error: unknown;
}
/** Published on `sluice:fetch:chunk`: a chunk was fetched, decompressed and found right. */
export interface ChunkFetched {
  readonly device: number;
  readonly chunk: number;
  readonly compressedBytes: number;
  readonly uncompressedBytes: number;
  readonly priority: ReadPriority;
  readonly place: string;
}
/** Published on `sluice:fetch:mismatch`: what came is not what the chunk map promises. */
export interface ChunkMismatched {
  readonly device: number;
  readonly chunk: number;
  /** Who sent it. */
  readonly place: string;
  readonly error: unknown;
}
/** Published on `sluice:fetch:retry`, before the wait. */
export interface FetchRetried {
  readonly device: number;
  readonly chunk: number;
  readonly attempt: number;
  readonly delayMs: number;
  readonly priority: ReadPriority;
  /** Where it failed, when only that place is given up; undefined when every place has failed. */
  readonly place: string | undefined;
  readonly error: unknown;
}

/** What logs and metrics subscribe to. */
export const fetchChannels = {
  request: channel('sluice:fetch:request'),
  chunk: channel('sluice:fetch:chunk'),
  mismatch: channel('sluice:fetch:mismatch'),
  retry: channel('sluice:fetch:retry'),
};
