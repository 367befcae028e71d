import { closeSync, realpathSync } from 'node:fs';
import { release } from 'node:os';
import { FuseError } from '../errors.ts';
import { loadNative, nativeMissingReason } from '../native.ts';
import { mount } from './mount.ts';
import { defaultReadaheadKib, Readahead } from './readahead.ts';
import { type UnmountOptions, unmount } from './unmount.ts';

export interface SessionOptions {
  /** An existing directory. */
  readonly mountPoint: string;
  /** What /proc/mounts shows as the source: the image's reference. */
  readonly source: string;
  /** Whether the kernel has FUSE_NOTIFY_RESEND. Default: as its version says. */
  readonly resends?: boolean | undefined;
}

/** Whether FUSE_NOTIFY_RESEND is there: Linux 6.9. */
function kernelResends(): boolean {
  const [major = 0, minor = 0] = release().split('.').map(Number);
  return major > 6 || (major === 6 && minor >= 9);
}

/**
 * One mount and its descriptors, owned by the main thread. Workers get the numbers and call `serve`.
 *
 * The order of an end: `unmount`, wait until each worker returned from `serve`, `close`. A worker that waits for a
 * request cannot be terminated, and closing a descriptor it waits on lets its number be given to another file.
 * A process that dies ends its mount's connection: readers get ENOTCONN, and `unmount` removes what is left.
 */
export class FuseSession {
  /** Canonical. */
  readonly mountPoint: string;
  /** /dev/fuse, mounted: the mount lives for as long as somebody has it open. */
  readonly fd: number;
  /** Whether another process that has `fd` can have requests sent again which this one leaves unanswered. */
  readonly resends: boolean;
  /**
   * What the mount is served by, by any number of threads. Where requests can be sent again it is `fd`. Else it is a clone,
   * so that the kernel fails what this process leaves unanswered: its readers would wait for ever (ADR 16).
   */
  readonly served: number;
  /** At first the kernel reads 1 MiB ahead; without the right to set that, 128 KiB. */
  readonly readahead: Readahead;
  readonly #clones: number[] = [];

  /** {@link FuseSession.open} makes them. */
  private constructor(mountPoint: string, fd: number, resends: boolean) {
    this.mountPoint = mountPoint;
    this.fd = fd;
    this.resends = resends;
    this.served = resends || loadNative() === undefined ? fd : this.clone();
    this.readahead = new Readahead(mountPoint, defaultReadaheadKib);
  }

  /**
   * Mounts. Whoever touches the mount waits until a worker serves it.
   * @throws {FuseError} SLUICE_MOUNT_FAILED, SLUICE_FUSE_UNAVAILABLE, SLUICE_NATIVE_MISSING
   */
  static async open(options: SessionOptions): Promise<FuseSession> {
    const mountPoint = canonical(options.mountPoint);
    return new FuseSession(mountPoint, await mount(mountPoint, options.source), options.resends ?? kernelResends());
  }

  /**
   * A mount that another process made, and that lives on.
   * @param fd - of the same connection, this process's own; closed by `close`
   */
  static adopt(mountPoint: string, fd: number, resends: boolean = kernelResends()): FuseSession {
    return new FuseSession(mountPoint, fd, resends);
  }

  /**
   * One more descriptor of the connection, with a queue of its own for requests under way.
   * @returns closed by `close`
   * @throws {FuseError} SLUICE_NATIVE_MISSING: let workers share `fd`
   */
  clone(): number {
    const native = loadNative();
    if (native === undefined) {
      throw new FuseError('SLUICE_NATIVE_MISSING', `Cannot clone a FUSE descriptor: ${nativeMissingReason()}`);
    }
    const fd = native.fuseClone(this.fd);
    this.#clones.push(fd);
    return fd;
  }

  /** @throws {FuseError} SLUICE_UNMOUNT_FAILED */
  unmount(options?: UnmountOptions): Promise<void> {
    return unmount(this.mountPoint, options);
  }

  /** Closes the descriptors. Workers have to be done, and no pending read may be answered from here on. */
  close(): void {
    for (const fd of [...this.#clones, this.fd]) closeSync(fd);
  }
}

function canonical(mountPoint: string): string {
  try {
    return realpathSync(mountPoint);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new FuseError('SLUICE_MOUNT_FAILED', `Cannot mount on "${mountPoint}": ${why}`, { cause });
  }
}
