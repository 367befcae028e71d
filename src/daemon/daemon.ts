import { closeSync } from 'node:fs';
import { realpath } from 'node:fs/promises';
import { MountTable } from '../control/mount-table.ts';
import type { MountRequest } from '../control/protocol.ts';
import { FuseError, UsageError } from '../errors.ts';
import { findMount } from '../fuse/mount-info.ts';
import type { UnmountOptions } from '../fuse/unmount.ts';
import type { HandedMount, HandOver } from '../holder/holder-link.ts';
import type { KeptMount } from '../holder/protocol.ts';
import type { Log } from '../log/log.ts';
import type { ImageContent } from '../mount/image-content.ts';
import type { ServedImage } from '../mount/serve-image.ts';
import { checkRoot, type MountRecord, recordOf } from './mount-record.ts';
import { openRequest, type SharedParts, serveRequest } from './serve-request.ts';

/** Who keeps the mounts when this process dies: HolderLink. */
export interface Keeper {
  keep(mount: KeptMount, fd: number): void;
  drop(id: number): void;
}

export interface DaemonOptions {
  readonly parts: SharedParts;
  readonly log: Log;
  /** Ends when it has had no mount for so long. Default: never. */
  readonly idleMs?: number | undefined;
}

/**
 * The mounts of one process, made and ended on request. Everything they have in common is there once: cache, threads,
 * images, requests to registries.
 */
export class Daemon {
  readonly mounts = new MountTable();
  /** Settles when there is nothing left to do: stopped, idle, or replaced. */
  readonly ended: Promise<void>;
  keeper: Keeper | undefined;
  readonly #options: DaemonOptions;
  readonly #parts: SharedParts;
  /** Aborted when it takes no more requests. */
  readonly #ending = new AbortController();
  /** Mounts that are being made, by canonical mount point; settled when they are served, or cannot be. */
  readonly #making = new Map<string, Promise<unknown>>();
  readonly #prepared: ImageContent[] = [];
  #idle: NodeJS.Timeout | undefined;
  #end: () => void = () => undefined;

  constructor(options: DaemonOptions) {
    this.#options = options;
    this.#parts = { ...options.parts, signal: this.#ending.signal };
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
    this.#waitIdle();
  }

  /**
   * Mounts; with an eager fill, returns when all of the image is local.
   * @returns the mount's number
   * @throws {FuseError} SLUICE_MOUNT_FAILED; SLUICE_DAEMON_ENDS when it is to be asked of another daemon
   * @throws {UsageError} SLUICE_OPTION_INVALID when this daemon has a mount there already
   * @throws what serveImage() throws, and an eager fill; nothing is left behind then
   */
  async mount(request: MountRequest): Promise<number> {
    const mountPoint = await canonicalMountPoint(request.mountPoint);
    this.#checkFree(mountPoint);
    const making = this.#serve({ ...request, mountPoint });
    this.#making.set(mountPoint, making);
    this.#waitIdle();
    const { id, served } = await making.finally(() => {
      this.#making.delete(mountPoint);
      this.#waitIdle();
    });
    if (request.fill?.kind === 'eager') await filled(served);
    return id;
  }

  /**
   * Unmounts, and waits for the mount's end; lazily, as long as nobody has files open.
   * @throws {NotFoundError} SLUICE_MOUNT_NOT_FOUND
   * @throws {FuseError} SLUICE_UNMOUNT_FAILED
   */
  async unmount(id: number, options: UnmountOptions): Promise<void> {
    await this.mounts.get(id).unmount(options);
  }

  /** Unmounts everything, lazily, and ends with the last mount: when nobody has files open any more. */
  async stop(): Promise<void> {
    this.#ending.abort();
    const mounts = this.mounts.values();
    await Promise.all(mounts.map((mount) => mount.unmount({ lazy: true }).catch((error) => this.#failed(error))));
    // How they end is said when they do.
    await Promise.allSettled(mounts.map(({ ended }) => ended));
    await this.finish();
  }

  /** What a holder asks for. `prepared` and released mounts are told of to nobody. */
  readonly handOver: Pick<HandOver, 'prepare' | 'serve' | 'release'> = {
    prepare: async (mounts) => {
      await Promise.all(mounts.map((mount) => this.#prepare(mount.record as MountRecord)));
    },
    serve: async (mounts) => {
      await Promise.all(mounts.map((mount) => this.#adopt(mount)));
      for (const content of this.#prepared.splice(0)) await content.close();
    },
    release: async () => {
      this.#ending.abort();
      await Promise.all(this.mounts.values().map(({ release }) => release?.()));
    },
  };

  /** Whether it takes no more requests. */
  get isEnding(): boolean {
    return this.#ending.signal.aborted;
  }

  /** Ends without unmounting, as for a daemon that was replaced: once what is being made has given up. */
  async finish(): Promise<void> {
    this.#ending.abort();
    clearTimeout(this.#idle);
    await Promise.allSettled(this.#making.values());
    this.#end();
  }

  async #serve(request: MountRequest): Promise<{ readonly id: number; readonly served: ServedImage }> {
    this.#checkTaking();
    const served = await serveRequest(request, this.#parts).catch((error) => {
      this.#checkTaking();
      throw error;
    });
    try {
      // It took a while.
      this.#checkTaking();
      const id = this.#add(served);
      if (served.fd !== undefined) this.keeper?.keep({ id, record: recordOf(request, served) }, served.fd);
      return { id, served };
    } catch (error) {
      await served.unmount({ lazy: true });
      throw error;
    }
  }

  #add(served: ServedImage, id?: number): number {
    const number = this.mounts.add(served, id);
    const end = (error?: unknown): void => {
      if (error !== undefined) this.#failed(error);
      this.keeper?.drop(number);
      this.#waitIdle();
    };
    served.ended.then(() => end(), end);
    const { reference } = served.content.image;
    this.#options.log.info('mount:served', { id: number, image: reference, mountPoint: served.mountPoint });
    return number;
  }

  async #prepare({ request }: MountRecord): Promise<void> {
    try {
      this.#prepared.push(await openRequest(request, this.#parts));
    } catch (error) {
      // It may go better when it is needed.
      this.#failed(error);
    }
  }

  /** A mount that cannot be served any more is let go: it ends, rather than have its readers wait for ever. */
  async #adopt({ id, record, fd }: HandedMount): Promise<void> {
    const { request, root } = record as MountRecord;
    let isOpen = false;
    try {
      const content = await openRequest(request, this.#parts);
      this.#prepared.push(content);
      checkRoot({ request, root }, content.image.root);
      isOpen = true;
      this.#add(await serveRequest(request, this.#parts, { fd }), id);
      this.#waitIdle();
    } catch (error) {
      if (!isOpen) closeSync(fd);
      this.keeper?.drop(id);
      this.#failed(error);
    }
  }

  /** It is unmounted by others, too, and lazily: only who looks knows. */
  #checkFree(mountPoint: string): void {
    const isServed = this.mounts.values().some((mount) => mount.mountPoint === mountPoint);
    if (!this.#making.has(mountPoint) && !(isServed && findMount(mountPoint)?.type === 'fuse.sluice')) return;
    throw new UsageError('SLUICE_OPTION_INVALID', `Cannot mount on "${mountPoint}": an image is mounted there already`);
  }

  #checkTaking(): void {
    if (this.isEnding) throw new FuseError('SLUICE_DAEMON_ENDS', 'Cannot mount: the daemon is ending');
  }

  #waitIdle(): void {
    clearTimeout(this.#idle);
    const { idleMs } = this.#options;
    if (idleMs === undefined || this.isEnding || this.#making.size + this.mounts.size > 0) return;
    // The only thing that keeps the process: without a mount there is nothing else.
    this.#idle = setTimeout(() => void this.finish(), idleMs);
  }

  #failed(error: unknown): void {
    this.#options.log.error('daemon:failed', { error });
  }
}

async function filled(served: ServedImage): Promise<void> {
  try {
    await served.fill.done;
  } catch (error) {
    await served.unmount({ lazy: true });
    throw error;
  }
}

async function canonicalMountPoint(mountPoint: string): Promise<string> {
  try {
    return await realpath(mountPoint);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new FuseError('SLUICE_MOUNT_FAILED', `Cannot mount on "${mountPoint}": ${why}`, { cause });
  }
}
