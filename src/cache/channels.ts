import { channel } from 'node:diagnostics_channel';

/** Published on `sluice:cache:stored`: a chunk was written. */
export interface ChunkStored {
  readonly blob: string;
  readonly chunk: number;
  readonly bytes: number;
}
/** Published on `sluice:cache:verified`: a chunk found on disk was hashed for the first time in this process. */
export interface ChunkVerified {
  readonly blob: string;
  readonly chunk: number;
  /** False: the bytes on disk were wrong; the chunk was dropped. */
  readonly good: boolean;
}
/** Published on `sluice:cache:copied`: a chunk was found in another blob's device, and needs not be fetched. */
export interface ChunkCopied {
  readonly blob: string;
  readonly chunk: number;
  readonly bytes: number;
  /** The other blob's digest, 64 hex digits. */
  readonly from: string;
}
/** Published on `sluice:cache:evicted`. */
export interface ChunksEvicted {
  readonly blob: string;
  readonly bytes: number;
}
/** Published on `sluice:cache:failed`: the cache's disk or its lock refused; the read goes on without the cache. */
export interface CacheFailed {
  readonly blob: string | undefined;
  readonly error: unknown;
}

/** What logs and metrics subscribe to. Nothing is formatted or counted when nobody listens. */
export const cacheChannels = {
  stored: channel('sluice:cache:stored'),
  verified: channel('sluice:cache:verified'),
  copied: channel('sluice:cache:copied'),
  evicted: channel('sluice:cache:evicted'),
  failed: channel('sluice:cache:failed'),
};
