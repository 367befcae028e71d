import { FuseError } from '../errors.ts';
import type { Native } from '../native.ts';
import { passDescriptors, takeDescriptors } from './pass-descriptors.ts';
import {
  type DaemonCommand,
  descriptorFd,
  holderVariable,
  type KeptMount,
  type ToDaemon,
  type ToHolder,
} from './protocol.ts';

/** A kept mount, with its descriptor: the daemon's own from now on. */
export interface HandedMount extends KeptMount {
  readonly fd: number;
}

/** What a holder asks of its daemon. */
export interface HandOver {
  /** Reads what it takes to serve these mounts, which another process serves still. */
  prepare(mounts: readonly KeptMount[]): Promise<void>;
  /** Serves these mounts. The holder starts every daemon by it, with none at first. */
  serve(mounts: readonly HandedMount[]): Promise<void>;
  /** Stops serving without unmounting: when this settles, the process touches no mount. */
  release(): Promise<void>;
  /** The holder is gone. The mounts are served on, and end with this process. */
  lost(): void;
}

/** Who serves after an upgrade. */
export interface Upgraded {
  readonly pid: number;
  /** For how long nobody did. */
  readonly stallMs: number;
}

/** A daemon's way to its holder. */
export class HolderLink {
  readonly #native: Native;
  #isReleased = false;
  #upgrade: { resolve(upgraded: Upgraded): void; reject(error: Error): void } | undefined;

  private constructor(native: Native) {
    this.#native = native;
  }

  /** Whether this process was started by a holder. */
  static get isHeld(): boolean {
    return process.env[holderVariable] !== undefined && process.connected;
  }

  /**
   * Begins to do what the holder asks.
   * @param onFailure - told what `prepare`, `serve` or `release` threw: the process had better end
   */
  static connect(native: Native, handOver: HandOver, onFailure: (error: unknown) => void): HolderLink {
    delete process.env[holderVariable];
    const link = new HolderLink(native);
    process.on('message', (message) => void link.#act(message as ToDaemon, handOver).catch(onFailure));
    process.once('disconnect', () => handOver.lost());
    return link;
  }

  /** @param fd - stays the caller's, too */
  keep(mount: KeptMount, fd: number): void {
    if (this.#isReleased || !process.connected) return;
    passDescriptors(this.#native, descriptorFd, [fd]);
    this.#say({ kind: 'keep', mount });
  }

  drop(id: number): void {
    // The mounts that end here while it is released go on elsewhere.
    if (!this.#isReleased) this.#say({ kind: 'drop', id });
  }

  /**
   * Has the holder replace this process, which is released on the way and should end soon after.
   * @throws {FuseError} SLUICE_UPGRADE_FAILED: this process serves on
   */
  upgrade(command?: DaemonCommand): Promise<Upgraded> {
    return new Promise((resolve, reject) => {
      this.#upgrade = { resolve, reject };
      this.#say({ kind: 'upgrade', command });
    });
  }

  async #act(message: ToDaemon, handOver: HandOver): Promise<void> {
    switch (message.kind) {
      case 'prepare':
        await handOver.prepare(message.mounts);
        return this.#say({ kind: 'prepared' });
      case 'serve': {
        const fds = takeDescriptors(this.#native, descriptorFd, message.mounts.length);
        await handOver.serve(message.mounts.map((mount, i) => ({ ...mount, fd: fds[i] ?? -1 })));
        return this.#say({ kind: 'ready' });
      }
      case 'release':
        this.#isReleased = true;
        await handOver.release();
        return this.#say({ kind: 'released' });
      case 'upgraded':
        return this.#upgrade?.resolve(message);
      case 'upgrade-failed':
        return this.#upgrade?.reject(
          new FuseError('SLUICE_UPGRADE_FAILED', `Cannot replace the daemon: ${message.why}`),
        );
    }
  }

  #say(message: ToHolder): void {
    if (process.connected) process.send?.(message);
  }
}
