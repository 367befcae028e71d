import type { ByteString } from '../byte-string.ts';
import type { Reply } from './reply.ts';

/**
 * What an operation returns: the length in bytes of what it put into {@link Reply.data} (0 or more), a negative errno,
 * or {@link PENDING}. The encoders of `Reply` return the length themselves, so an operation ends with
 * `return reply.entry(…)` or `return -ENOENT`.
 */
export type Outcome = number;

/** The answer is written later, by `replyData` or `replyError`. Out of the range the kernel takes for an errno. */
export const PENDING = -0x10000;

/** Attributes of one inode, as stat(2) shows them. An object with more properties will do. */
export interface FileAttributes {
  /** What `st_ino` says. */
  readonly ino: number;
  /** Whole `st_mode`. */
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  /** Device number in Linux's 32-bit encoding, 0 for what is no device. */
  readonly rdev: number;
  /** Bytes. */
  readonly size: number;
  /** Space taken, in units of 512 bytes. */
  readonly blocks: number;
  /** Seconds since the epoch, may be negative. Access and change time are shown as the same. */
  readonly mtime: number;
  readonly mtimeNs: number;
}

/** What statfs(2) shows; counts of blocks are in units of `blockSize` bytes. Nothing is ever free. */
export interface FileSystemStatistics {
  readonly blockSize: number;
  readonly blocks: number;
  readonly files: number;
}

/**
 * An immutable file system: what the protocol asks, one synchronous function a request, called by {@link serve} on its
 * worker. A nodeid is the file system's own number for an inode, below 2^53, the same for as long as the mount lives;
 * the root is 1. Node IDs come back from the kernel only after a lookup or readdirplus handed them out.
 *
 * `reply` is used again by the next request.
 * An operation that throws a `SluiceError` answers with its errno; any other exception is EIO.
 *
 * There is no open, release or access: nothing here depends on who opens a file, so the kernel is told not to ask.
 */
export interface Operations {
  /**
   * One name in a directory, `.` and `..` included (the kernel looks them up to decode file handles).
   * ENOENT is remembered by the kernel like a name that exists. Answer: `reply.entry`.
   */
  lookup(parent: number, name: ByteString, reply: Reply): Outcome;
  /** Answer: `reply.attributes`. */
  getattr(nodeid: number, reply: Reply): Outcome;
  /** Answer: `reply.bytes`, the target, without a NUL. */
  readlink(nodeid: number, reply: Reply): Outcome;
  /**
   * `length` bytes at `offset`, fewer only at the end of the file. Either fills `reply.data` and returns how many bytes
   * it filled, or keeps `unique` and returns {@link PENDING}. `pid` is the thread that reads, 0 where it cannot be seen.
   */
  read(nodeid: number, offset: number, length: number, reply: Reply, unique: number, pid: number): Outcome;
  /**
   * Entries from `cookie` on, `.` and `..` included; 0 is the beginning, any other cookie is one the file system gave
   * as `next` of an entry, however long ago. Answer: `reply.directoryEntry` until it returns false, then
   * `reply.directoryLength`. The cost of a call must not depend on `cookie`.
   */
  readdir(nodeid: number, cookie: number, reply: Reply): Outcome;
  /** The same with attributes, by `reply.directoryEntryPlus`. */
  readdirplus(nodeid: number, cookie: number, reply: Reply): Outcome;
  /** Answer: `reply.statistics`. */
  statfs(reply: Reply): Outcome;
  /** Answer: `reply.bytes`, the whole value; ENODATA when there is none. ENOSYS: no inode has any, never ask again. */
  getxattr(nodeid: number, name: ByteString, reply: Reply): Outcome;
  /** Answer: `reply.bytes`, all names, each with a NUL after it. */
  listxattr(nodeid: number, reply: Reply): Outcome;
  /** `SEEK_DATA` (`hole` false) or `SEEK_HOLE`. Answer: `reply.offset`; ENXIO past the end. */
  lseek(nodeid: number, offset: number, hole: boolean, reply: Reply): Outcome;
  /** The kernel forgot `count` lookups of an inode. Leave it out when node IDs need no bookkeeping. */
  forget?(nodeid: number, count: number): void;
  /**
   * Whoever waits for the pending read `unique` was sent a signal, and goes on waiting. Answer that read soon, EINTR will
   * do, if the signal ends the reader; if it doesn't, the answer has to be the data: EINTR would kill a program that
   * executes or maps the file. It may have been answered already; and with several workers, the interrupt may overtake
   * the read it is about. No second signal is told of.
   */
  interrupt?(unique: number): void;
  /** How much the kernel may read ahead, bytes; 0 is nothing. Left out: as much as one request carries. */
  readonly maximumReadahead?: number | undefined;
}
