import { createRequire } from 'node:module';
import { constants } from 'node:os';
import type FuseNative from 'fuse-native';
import type { Operations, Signal } from 'fuse-native';

// By require(): what goes wrong in an imported CommonJS module ends the process on Node 20, caught or not.
const Fuse: typeof FuseNative = createRequire(import.meta.url)('fuse-native');

/** What is mounted: fuse-native's operations, and extended attributes with any bytes. */
export interface LibfuseOperations extends Operations {
  /** @returns the value, or a negative errno */
  getxattr(path: string, name: string): Buffer | number;
  /** @returns all names, each with a NUL after it, or a negative errno */
  listxattr(path: string): Buffer | number;
}

// Its own runs a shell with the mount point as part of the command. Ours is gone when this is called.
Fuse.unmount = (_mountPoint, done) => done(null);

/**
 * One mount by libfuse 2. This module loads a native library: import it when it is asked for, not before.
 *
 * What the library gets wrong is put right here: the options it cannot pass on, and extended attributes longer than
 * the reader's buffer, for which it would send memory that is not part of the value.
 * libuv keeps pointers into what a mount is made of, so neither the library nor we ever free one.
 */
export class LibfuseSession extends Fuse {
  readonly #options: readonly string[];
  readonly #operations: LibfuseOperations;

  /** @param options - as mount.fuse(8) has them; commas inside of one are `\,` */
  constructor(mountPoint: string, operations: LibfuseOperations, options: readonly string[]) {
    super(mountPoint, operations, { timeout: false });
    this.#options = options;
    this.#operations = operations;
  }

  /** Mounts; returns when the kernel has begun to talk. */
  start(): Promise<void> {
    return settle((done) => this.mount(done));
  }

  /** After the mount has ended: the event loop need not wait for it any more. */
  release(): Promise<void> {
    return settle((done) => this.unmount(done));
  }

  protected override _fuseOptions(): string {
    return `-o${this.#options.join(',')}`;
  }

  protected override _op_getxattr(signal: Signal, path: string, name: string, room: Buffer): void {
    signal(fitInto(this.#operations.getxattr(path, name), room), room.buffer);
  }

  protected override _op_listxattr(signal: Signal, path: string, room: Buffer): void {
    signal(fitInto(this.#operations.listxattr(path), room), room.buffer);
  }
}

/** A reader that gives no room asks for the length alone. Source: getxattr(2), listxattr(2). */
function fitInto(value: Buffer | number, room: Buffer): number {
  if (typeof value === 'number') return value;
  if (room.length === 0) return value.length;
  return value.length > room.length ? -constants.errno.ERANGE : value.copy(room);
}

function settle(call: (done: (error?: Error | null) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => call((error) => (error ? reject(error) : resolve())));
}
