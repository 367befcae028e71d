import { channel } from 'node:diagnostics_channel';
import type { ByteString } from '../byte-string.ts';
import type { Reason } from './predictor.ts';

/** Published on `sluice:prefetch:predicted`: a run of a file will be read. */
export interface FilePredicted {
  readonly path: ByteString;
  readonly nid: number;
  /** Bytes. */
  readonly offset: number;
  readonly length: number;
  readonly reason: Reason;
}

/** Published on `sluice:prefetch:fetched`: a predicted chunk is in the cache. */
export interface ChunkPrefetched {
  readonly device: number;
  readonly chunk: number;
  /** Compressed. */
  readonly bytes: number;
  readonly latencyMs: number;
}

/** Why nothing more is prefetched. */
export type StopReason = 'closed' | 'unused' | 'failed';

/** Published on `sluice:prefetch:stopped`, once a mount. All bytes are compressed. */
export interface PrefetchStopped {
  readonly reason: StopReason;
  readonly fetchedBytes: number;
  /** Of those, read so far. */
  readonly usedBytes: number;
}

/** What logs and metrics subscribe to. */
export const prefetchChannels = {
  predicted: channel('sluice:prefetch:predicted'),
  fetched: channel('sluice:prefetch:fetched'),
  stopped: channel('sluice:prefetch:stopped'),
};
