import type { Bootstrap } from '../bootstrap/bootstrap.ts';
import type { LocalChunkStore } from '../bootstrap/chunk-store.ts';
import type { CachedDevice } from '../cache/cached-device.ts';
import type { UnmountOptions } from '../fuse/unmount.ts';
import type { HotPages } from '../hot/hot-pages.ts';
import type { FileRange } from './collect-read.ts';
import type { MountTrace } from './mount-trace.ts';
import type { ReadCounters } from './read-counters.ts';

/** What a mount is made of. All of it stays the caller's, who closes it when the mount has ended. */
export interface ImageMountOptions {
  readonly bootstrap: Bootstrap;
  /** Where missing chunks come from; stores them in `devices` on the way. */
  readonly chunks: LocalChunkStore;
  /** In the order of the bootstrap's devices. */
  readonly devices: readonly CachedDevice[];
  /** Pages that come ahead of demand, where the image has a profile. */
  readonly hot?: HotPages | undefined;
  readonly mountPoint: string;
  /** Serves a mount that another process made, and sends for what that one left unanswered. The descriptor is taken over. */
  readonly adopt?: { readonly fd: number } | undefined;
  /** What /proc/mounts shows as the source. */
  readonly source: string;
  /** Records from the first read on. */
  readonly trace?: boolean | undefined;
  /** Told of every read that the cache could not answer, before it is fetched. */
  readonly onMiss?: ((range: FileRange) => void) | undefined;
  /** Told of every reader that gets an error. */
  readonly onReadFailed?: ((failure: FailedRead) => void) | undefined;
}

/** A reader got an error. */
export interface FailedRead {
  /** The file. */
  readonly nid: number;
  /** Where in the file, bytes. */
  readonly offset: number;
  readonly error: unknown;
}

/** An image that is mounted, whoever serves it. */
export interface MountedImage {
  /** Canonical. */
  readonly mountPoint: string;
  /** Settles when the mount has ended, by `unmount` or by umount(8), and nothing of it is left in this process. */
  readonly ended: Promise<void>;
  /** `undefined` where the driver cannot record. */
  readonly trace: MountTrace | undefined;
  /** Of the connection, while the mount lives: for a process that is to keep it. `undefined` where there is none to keep. */
  readonly fd: number | undefined;
  /** `undefined` where the driver does not count. */
  readonly reads: ReadCounters | undefined;
  /** Reads that wait for what is not local, and since when the oldest one does, in milliseconds since the epoch. */
  waiting(): { readonly reads: number; readonly since: number | undefined };
  /**
   * Ends the service, and not the mount: what is unanswered stays so, for another process that has the descriptor.
   * When it returns, this one uses it no longer. `undefined` where the driver cannot.
   */
  readonly release: (() => Promise<void>) | undefined;
  /** @throws {FuseError} SLUICE_UNMOUNT_FAILED, for instance because files are open */
  unmount(options?: UnmountOptions): Promise<void>;
}
