import type { Workload } from './workload.ts';

/** Where a lane's container gets its image, and what it may use. Paths are the lane's own and empty at first. */
export interface LaneContext {
  readonly workload: Workload;
  /** `HOST:PORT` of the registry as the client reaches it, across the link; plain http. */
  readonly registry: string;
  /** Repository and tag of the image as it was: `python:plain`. */
  readonly repository: string;
  /** A folder for stores, state and sockets of this lane; short, because socket paths are. Emptied by wipe(). */
  readonly directory: string;
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
  /** Ends it and everything of it that start() began. */
  stop(): Promise<void>;
}

/** One way to get from an image in a registry to a ready container. */
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
  /** Ends the daemons of prepare(). */
  close(): Promise<void>;
}
