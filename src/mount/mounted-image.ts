import type { Bootstrap } from '../bootstrap/bootstrap.ts';
import type { ChunkStore } from '../bootstrap/chunk-store.ts';
import type { CachedDevice } from '../cache/cached-device.ts';
import type { UnmountOptions } from '../fuse/unmount.ts';
import type { HotPages } from '../hot/hot-pages.ts';
import type { FileRange } from './collect-read.ts';
import type { MountTrace } from './mount-trace.ts';

/** What a mount is made of. All of it stays the caller's, who closes it when the mount has ended. */
export interface ImageMountOptions {
  readonly bootstrap: Bootstrap;
  /** Where missing chunks come from; stores them in `devices` on the way. */
  readonly chunks: ChunkStore;
  /** In the order of the bootstrap's devices. */
  readonly devices: readonly CachedDevice[];
  /** Pages that come ahead of demand, where the image has a profile. */
  readonly hot?: HotPages | undefined;
  readonly mountPoint: string;
  /** What /proc/mounts shows as the source. */
  readonly source: string;
  /** Records from the first read on. */
  readonly trace?: boolean | undefined;
  /** Told of every read that the cache could not answer, before it is fetched. */
  readonly onMiss?: ((range: FileRange) => void) | undefined;
}

/** An image that is mounted, whoever serves it. */
export interface MountedImage {
  /** Canonical. */
  readonly mountPoint: string;
  /** Settles when the mount has ended, by `unmount` or by umount(8), and nothing of it is left in this process. */
  readonly ended: Promise<void>;
  /** `undefined` where the driver cannot record. */
  readonly trace: MountTrace | undefined;
  /** @throws {FuseError} SLUICE_UNMOUNT_FAILED, for instance because files are open */
  unmount(options?: UnmountOptions): Promise<void>;
}
