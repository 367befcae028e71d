import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

/**
 * The system calls Node lacks. Every function checks its arguments (`TypeError`, `RangeError`) and throws a
 * {@link NativeError} when the kernel refuses. Strings go to the kernel as UTF-8 and may not hold NUL.
 * File descriptors handed out are close-on-exec and the caller's to close; those handed in stay the caller's.
 */
export interface Native {
  /** mount(2). @param flags - MS_* bits @param data - options, below 4096 bytes */
  mount(source: string, target: string, fstype: string, flags: number, data: string): void;
  /** umount2(2). @param flags - MNT_* bits */
  umount(target: string, flags: number): void;
  /**
   * Mounts an EROFS image read-only through fsopen(2), so that any number of devices fits. What the kernel's file
   * system context logged is in the message of the error.
   * @param source - the image; at most 255 bytes, as every device: fsconfig(2) takes no more
   * @param devices - in the order of the image's device table
   */
  mountErofs(source: string, target: string, devices: readonly string[]): void;
  /** fallocate(2): gives the range back to the disk; it reads as zeros, the file keeps its size. Bytes. */
  punchHole(fd: number, offset: number, length: number): void;
  /**
   * copy_file_range(2): within the kernel, and by sharing the blocks where the file system can. Bytes.
   * @returns bytes copied: less than `length` when the source ends before
   */
  copyFileRange(fdIn: number, offsetIn: number, fdOut: number, offsetOut: number, length: number): number;
  /** flock(2). @returns false when `wait` is false and another open file holds the lock */
  flock(fd: number, mode: 'shared' | 'exclusive' | 'unlock', wait: boolean): boolean;
  /** fcntl(2), O_NONBLOCK: of the open file, so for all who share it. */
  setNonBlocking(fd: number): void;
  /** socketpair(2) of unix stream sockets, blocking. */
  socketPair(): [number, number];
  /**
   * Sends open files along with `payload`; blocks until all of it is sent.
   * @param fds - at most 253 (SCM_MAX_FD)
   * @param payload - 1 to 65,536 bytes; read during the call only
   */
  sendDescriptors(socket: number, fds: readonly number[], payload: Uint8Array): void;
  /**
   * Blocks for the next bytes of `socket`, at most 65,536 of them, and the open files that came along.
   * An empty payload is the end of the stream. More descriptors than `maximum` are closed again: EMSGSIZE.
   */
  receiveDescriptors(socket: number, maximum: number): { fds: number[]; payload: Uint8Array };
  /** Opens one more queue of a FUSE connection: FUSE_DEV_IOC_CLONE, include/uapi/linux/fuse.h. */
  fuseClone(fuseFd: number): number;
  /**
   * Sends an answer with write(2), then blocks in read(2) for the next request. When write fails, nothing is read:
   * `syscall` of the error says which of the two it was.
   * @param answer - its first `length` bytes are sent, in one piece; 0 sends nothing
   * @param request - not empty; filled from its beginning. Neither buffer is kept
   * @returns length of the request in bytes
   */
  fuseExchange(fd: number, answer: Uint8Array, length: number, request: Uint8Array): number;
  /**
   * {@link fuseExchange} for a thread that serves many: blocks until a descriptor of `epfd` is ready, and reads from that.
   * Their keys have to be the descriptors themselves, and they non-blocking: one that has nothing after all is waited for
   * again. `syscall` of an error may also be `epoll_wait`, with EINTR.
   * @param to - where the answer goes; -1 when there is none
   * @param from - four bytes, an int32 of the host: the descriptor to look at before waiting, -1 for none; then where the
   *   request comes from, also when `read` fails
   */
  fuseExchangeAny(
    epfd: number,
    to: number,
    answer: Uint8Array,
    length: number,
    request: Uint8Array,
    from: Uint8Array,
  ): number;
  epollCreate(): number;
  /** @param events - EPOLL* bits @param key - what {@link epollWait} reports for `fd`, a safe integer from 0 */
  epollAdd(epfd: number, fd: number, events: number, key: number): void;
  epollRemove(epfd: number, fd: number): void;
  /**
   * Blocks until a descriptor is ready.
   * @param timeoutMs - -1 waits without end
   * @param maximum - 1 to 1024 keys
   * @returns keys of what is ready; none when the time is up or a signal came
   */
  epollWait(epfd: number, timeoutMs: number, maximum: number): number[];
}

/** What the functions of {@link Native} throw when a system call fails. */
export interface NativeError extends Error {
  /** The name of the errno: `EPERM`. */
  readonly code: string;
  /** Positive. */
  readonly errno: number;
  readonly syscall: string;
}

type Outcome = { readonly native: Native } | { readonly native: undefined; readonly reason: string };

/** The same relative place from `src/` and from `dist/`. */
const addonPath = fileURLToPath(new URL('../native/build/Release/sluice.node', import.meta.url));

let outcome: Outcome | undefined;

/**
 * The addon, or undefined when it was not built; loaded once a thread.
 *
 * `SLUICE_ENGINE=portable` leaves it out even when it is there, `SLUICE_ENGINE=native` makes its absence an error.
 * An addon that is there and does not load is an error always: half an installation must not pass for none.
 * @throws {Error} with code SLUICE_NATIVE_MISSING, or whatever the dynamic loader threw
 */
export function loadNative(): Native | undefined {
  outcome ??= load(process.env.SLUICE_ENGINE ?? '');
  return outcome.native;
}

/** Why {@link loadNative} gives undefined, for people; undefined when it gives the addon. */
export function nativeMissingReason(): string | undefined {
  outcome ??= load(process.env.SLUICE_ENGINE ?? '');
  return outcome.native === undefined ? outcome.reason : undefined;
}

function load(engine: string): Outcome {
  if (!['', 'native', 'portable'].includes(engine))
    throw missing(`SLUICE_ENGINE is "${engine}", not portable or native`);
  if (engine === 'portable') return { native: undefined, reason: 'SLUICE_ENGINE=portable' };
  if (existsSync(addonPath)) return { native: createRequire(import.meta.url)(addonPath) as Native };
  const reason = `"${addonPath}" does not exist; \`npm rebuild\` with a C++ compiler builds it`;
  if (engine === 'native') throw missing(reason);
  return { native: undefined, reason };
}

function missing(reason: string): Error {
  return Object.assign(new Error(`Cannot load the native addon: ${reason}`), { code: 'SLUICE_NATIVE_MISSING' });
}
