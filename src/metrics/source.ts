import type { CacheState } from '../cache/chunk-cache.ts';
import type { MountState } from '../mount/mount-state.ts';
import type { Latencies } from './exposition.ts';

/** A mount at the moment of a scrape. */
export interface MountMetrics {
  /** The image's reference; holds no credentials. */
  readonly image: string;
  readonly mountPoint: string;
  readonly state: MountState;
  /** From a read's arrival to its answer; undefined where nobody measures it. */
  readonly latency: Latencies | undefined;
}

/** Who knows what no event tells. Asked at each scrape, and at no other time; must not wait for anything. */
export interface MetricsSource {
  mounts(): readonly MountMetrics[];
  /** Undefined while no cache is open. */
  cache(): CacheState | undefined;
  /** Chunks that wait for a request, by who asked for them. */
  queued(): Readonly<Partial<Record<'demand' | 'prefetch' | 'background', number>>>;
}
