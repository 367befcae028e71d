import type { ChunkTimes } from './result.ts';
import type { Workload } from './workload.ts';

/**
 * Where a lane's container gets its image, and what it may use. A lane runs in the network namespace of its process,
 * which is the client's end of the link, and its containers share it (`--network host`).
 */
export interface LaneContext {
  readonly workload: Workload;
  /** `HOST:PORT` of the registry as the client reaches it, across the link; plain http. */
  readonly registry: string;
  /** Repository and tag of the image as it was: `python:plain`. */
  readonly repository: string;
  /**
   * A folder for stores, state and sockets of this lane, empty at first and the same in all calls of one lane, whatever
   * the workload; its path is short, because those of sockets have to be. Removed after close().
   */
  readonly directory: string;
  /** Aborted when the benchmark is cancelled, or the start takes longer than its workload allows. */
  readonly signal: AbortSignal;
}

/** A container on its way up. */
export interface LaneContainer {
  /** What it wrote, both streams, line by line; ends with the container. */
  readonly lines: AsyncIterable<string>;
  /** Its exit status. */
  readonly ended: Promise<number>;
  /** When the pull was over and when its root file system was there: ms since start() was called; undefined where they are one step. */
  readonly pulledMs: () => number | undefined;
  readonly mountedMs: () => number | undefined;
  /** Ends it and everything of it that start() began; also when it has ended by itself. */
  stop(): Promise<void>;
  /** Of a sluice lane: when which chunk came, ms since start() was called. Asked for after stop(). */
  readonly chunks?: () => Promise<ChunkTimes | undefined>;
}

/**
 * One way to get from an image in a registry to a ready container. One object serves all workloads of one link, one call
 * at a time: unavailable(), then prepare() for each workload, then wipe() and start() for each sample, and close().
 * `lanes.ts` lists what makes them.
 */
export interface Lane {
  /** `sluice-traced`, `containerd`. */
  readonly name: string;
  /** @returns why this machine cannot run it; undefined when it can */
  unavailable(): Promise<string | undefined>;
  /** Once an image and link, untimed: puts what the lane needs into the registry, starts daemons that a host has running anyway. */
  prepare(context: LaneContext): Promise<void>;
  /** Back to a machine that never saw the image; page cache and link are the caller's. Untimed. */
  wipe(context: LaneContext): Promise<void>;
  /** Timed from the call. Throws when it fell back to a full pull though it is a lazy lane. */
  start(context: LaneContext): Promise<LaneContainer>;
  /** Ends the daemons of prepare(), also after a prepare() that failed. Mounts below the directory are gone then. */
  close(): Promise<void>;
}
