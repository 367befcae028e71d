import { closeSync, readdirSync, readlinkSync, realpathSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { FuseError } from '../errors.ts';
import { type UnmountOptions, unmount } from '../fuse/unmount.ts';
import { loadNative } from '../native.ts';
import { collectRead } from './collect-read.ts';
import { ImageView, SharedView } from './image-view.ts';
import { libfuseOperations, type ReadMissing } from './libfuse-operations.ts';
import type { LibfuseSession } from './libfuse-session.ts';
import type { ImageMountOptions, MountedImage } from './mounted-image.ts';

/** The library does not say when a mount has ended: its descriptor is looked at so often. */
const endPollMs = 100;

/** Nothing changes, so the kernel may keep what it was told. 31 years, in seconds. */
const forever = 1_000_000_000;

/** fuse-native has 1024 bytes for all options together, and cuts off the rest. */
const maximumSource = 512;

/**
 * An image mounted through fuse-native, the driver of last resort: libfuse 2 and its helper open the device, and the
 * main thread answers every request. docs/drivers.md lists what it cannot carry.
 */
export class LibfuseMount implements MountedImage {
  readonly mountPoint: string;
  readonly ended: Promise<void>;
  readonly trace = undefined;
  readonly fd = undefined;
  readonly reads = undefined;
  readonly release = undefined;
  readonly #reads: AbortController;

  private constructor(mountPoint: string, ended: Promise<void>, reads: AbortController) {
    this.mountPoint = mountPoint;
    this.ended = ended;
    this.#reads = reads;
  }

  /**
   * Mounts an image. When this returns, the mount answers.
   * @throws {FuseError} SLUICE_FUSE_UNAVAILABLE when fuse-native or libfuse 2 is missing, SLUICE_MOUNT_FAILED
   */
  static async start(options: ImageMountOptions): Promise<LibfuseMount> {
    const mountPoint = canonical(options.mountPoint);
    const Session = await loadSession();
    const reads = new AbortController();
    const cache = options.devices.map((device) => device.view());
    const view = new SharedView({ bootstrap: options.bootstrap.share(), cache });
    const image = new ImageView(view, options.hot?.descriptor);
    const operations = libfuseOperations(image, readMissing(options, reads.signal));
    const session = new Session(mountPoint, operations, sessionOptions(options.source));
    try {
      const descriptor = await startSession(session, mountPoint);
      const ended = untilClosed(descriptor, reads).then(async () => {
        await session.release();
        view.close();
      });
      return new LibfuseMount(mountPoint, ended, reads);
    } catch (error) {
      view.close();
      throw error;
    }
  }

  /** Which reads these are, only libfuse knows. */
  waiting(): { readonly reads: number; readonly since: undefined } {
    return { reads: 0, since: undefined };
  }

  async unmount(options?: UnmountOptions): Promise<void> {
    // libfuse ends when its threads do, and these wait for our answers.
    if (options?.abort === true) this.#reads.abort();
    await unmount(this.mountPoint, options);
    if (options?.lazy !== true) await this.ended;
  }
}

async function loadSession(): Promise<typeof LibfuseSession> {
  try {
    return (await import('./libfuse-session.ts')).LibfuseSession;
  } catch (cause) {
    throw new FuseError(
      'SLUICE_FUSE_UNAVAILABLE',
      'Cannot use driver "libfuse": it takes the package fuse-native and libfuse 2 (Debian: apt-get install libfuse2 fuse3)',
      { cause },
    );
  }
}

function canonical(mountPoint: string): string {
  try {
    return realpathSync(mountPoint);
  } catch (cause) {
    throw mountFailed(mountPoint, cause);
  }
}

/**
 * Permissions are the kernel's to check. Only root may let others in, and have programs that set user IDs, and devices.
 * Source: mount.fuse(8) of libfuse 2.
 */
function sessionOptions(source: string): string[] {
  const name = Buffer.from(source).subarray(0, maximumSource).toString();
  return [
    'ro',
    'default_permissions',
    'use_ino',
    'kernel_cache',
    ...['entry_timeout', 'attr_timeout', 'negative_timeout'].map((option) => `${option}=${forever}`),
    ...(process.geteuid?.() === 0 ? ['allow_other', 'suid', 'dev'] : []),
    'subtype=sluice',
    `fsname=${name.replace(/[\\,]/g, '\\$&')}`,
  ];
}

function readMissing(options: ImageMountOptions, signal: AbortSignal): ReadMissing {
  return async (nid, offset, length) => {
    options.onMiss?.({ nid, offset, length });
    try {
      let read: Uint8Array = new Uint8Array(0);
      await collectRead(options, { nid, offset, length }, signal, (bytes) => {
        read = Uint8Array.from(bytes);
      });
      return [read];
    } catch (error) {
      if (!signal.aborted) options.onReadFailed?.({ nid, offset, error });
      throw error;
    }
  };
}

/** One after the other: what a mount opens is found by looking before and after. */
let turn: Promise<unknown> = Promise.resolve();

/** @returns the link in /proc that shows libfuse's descriptor */
function startSession(session: LibfuseSession, mountPoint: string): Promise<string> {
  const started = turn.then(async () => {
    const before = fuseDescriptors();
    try {
      await session.start();
    } catch (cause) {
      throw mountFailed(mountPoint, cause);
    }
    const opened = fuseDescriptors().find((descriptor) => !before.includes(descriptor));
    if (opened === undefined) throw mountFailed(mountPoint, 'libfuse opened no descriptor');
    return opened;
  });
  turn = started.catch(() => undefined);
  return started;
}

function fuseDescriptors(): string[] {
  return readdirSync('/proc/self/fd')
    .map((fd) => `/proc/self/fd/${fd}`)
    .filter(isFuse);
}

function isFuse(descriptor: string): boolean {
  try {
    return readlinkSync(descriptor) === '/dev/fuse';
  } catch {
    return false;
  }
}

/**
 * libfuse closes its descriptor when the mount has ended, also lazily, and all its threads have. Those that wait for a
 * chunk are let go as soon as there is nobody left to answer; without the addon that cannot be seen, and they wait on.
 */
async function untilClosed(descriptor: string, reads: AbortController): Promise<void> {
  const native = loadNative();
  const epoll = native?.epollCreate() ?? -1;
  // No events are asked for, so only the error is told: of /dev/fuse, that its connection is gone.
  native?.epollAdd(epoll, Number(path.basename(descriptor)), 0, 0);
  while (isFuse(descriptor)) {
    if (native !== undefined && native.epollWait(epoll, 0, 1).length > 0) reads.abort();
    await sleep(endPollMs);
  }
  if (native !== undefined) closeSync(epoll);
  reads.abort();
}

function mountFailed(mountPoint: string, cause: unknown): FuseError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new FuseError('SLUICE_MOUNT_FAILED', `Cannot mount on "${mountPoint}": ${why}`, { cause });
}
