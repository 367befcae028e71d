import { constants } from 'node:os';

/**
 * The FUSE wire protocol as offset tables: byte offset of each field within its struct, `size` of the whole struct.
 * Integers are in host byte order; sluice serves little-endian hosts (every Linux port of Node but s390x).
 *
 * Source: include/uapi/linux/fuse.h of Linux, protocol 7.31 and later.
 */

/** What is spoken. A kernel older than `minimumMinor` (Linux 5.4) is refused; a newer one falls back to `minor`. */
export const protocol = { major: 7, minor: 38, minimumMinor: 31 } as const;

/** `enum fuse_opcode`: the ones that get an answer other than ENOSYS. */
export const opcode = {
  lookup: 1,
  forget: 2,
  getattr: 3,
  setattr: 4,
  readlink: 5,
  symlink: 6,
  mknod: 8,
  mkdir: 9,
  unlink: 10,
  rmdir: 11,
  rename: 12,
  link: 13,
  read: 15,
  write: 16,
  statfs: 17,
  setxattr: 21,
  getxattr: 22,
  listxattr: 23,
  removexattr: 24,
  init: 26,
  readdir: 28,
  create: 35,
  interrupt: 36,
  batchForget: 42,
  fallocate: 43,
  readdirplus: 44,
  rename2: 45,
  lseek: 46,
  copyFileRange: 47,
  tmpfile: 51,
} as const;

/** Feature bits of INIT, `FUSE_*`: the ones sluice asks for. */
export const initFlag = {
  asyncRead: 1 << 0,
  exportSupport: 1 << 4,
  doReaddirplus: 1 << 13,
  readdirplusAuto: 1 << 14,
  noOpenSupport: 1 << 17,
  parallelDirops: 1 << 18,
  posixAcl: 1 << 20,
  maxPages: 1 << 22,
  cacheSymlinks: 1 << 23,
  noOpendirSupport: 1 << 24,
} as const;

/** `struct fuse_in_header`. */
export const inHeader = { len: 0, opcode: 4, unique: 8, nodeid: 16, uid: 24, gid: 28, pid: 32, size: 40 } as const;

/** `struct fuse_out_header`; `error` is 0 or a negative errno above -512. */
export const outHeader = { len: 0, error: 4, unique: 8, size: 16 } as const;

/**
 * The kernel refuses an answer with any other error, and leaves the reader waiting: EIO takes its place.
 * Source: fs/fuse/dev.c, `fuse_dev_do_write`.
 */
export function acceptableErrno(errno: number): number {
  return errno >= 1 && errno < 512 ? errno : constants.errno.EIO;
}

/** `struct fuse_init_in`, as far as protocol 7.31 has it. */
export const initIn = { major: 0, minor: 4, maxReadahead: 8, flags: 12, size: 16 } as const;

/** `struct fuse_init_out`; the two `max_background` and `congestion_threshold`, and `max_pages`, are 16 bits wide. */
export const initOut = {
  major: 0,
  minor: 4,
  maxReadahead: 8,
  flags: 12,
  maxBackground: 16,
  congestionThreshold: 18,
  maxWrite: 20,
  timeGran: 24,
  maxPages: 28,
  size: 64,
} as const;

/** `struct fuse_attr`. */
export const attr = {
  ino: 0,
  size: 8,
  blocks: 16,
  atime: 24,
  mtime: 32,
  ctime: 40,
  atimensec: 48,
  mtimensec: 52,
  ctimensec: 56,
  mode: 60,
  nlink: 64,
  uid: 68,
  gid: 72,
  rdev: 76,
  blksize: 80,
  flags: 84,
  structSize: 88,
} as const;

/** `struct fuse_attr_out`. */
export const attrOut = { attrValid: 0, attrValidNsec: 8, attr: 16, size: 104 } as const;

/** `struct fuse_entry_out`; a `nodeid` of 0 is a name that does not exist, cached as such. */
export const entryOut = {
  nodeid: 0,
  generation: 8,
  entryValid: 16,
  attrValid: 24,
  entryValidNsec: 32,
  attrValidNsec: 36,
  attr: 40,
  size: 128,
} as const;

/** `struct fuse_read_in`, used by READ, READDIR and READDIRPLUS. */
export const readIn = { fh: 0, offset: 8, length: 16, size: 40 } as const;

/** `struct fuse_lseek_in`, and `struct fuse_lseek_out`. */
export const lseekIn = { fh: 0, offset: 8, whence: 16, size: 24 } as const;
export const lseekOut = { offset: 0, size: 8 } as const;

/** `struct fuse_getxattr_in` (for GETXATTR a name follows), and `struct fuse_getxattr_out`. */
export const getxattrIn = { length: 0, size: 8 } as const;
export const getxattrOut = { length: 0, size: 8 } as const;

/** `struct fuse_forget_in`; `struct fuse_batch_forget_in`, followed by `count` times `struct fuse_forget_one`. */
export const forgetIn = { nlookup: 0, size: 8 } as const;
export const batchForgetIn = { count: 0, size: 8 } as const;
export const forgetOne = { nodeid: 0, nlookup: 8, size: 16 } as const;

/** `struct fuse_interrupt_in`. */
export const interruptIn = { unique: 0, size: 8 } as const;

/** `struct fuse_kstatfs`, the whole of `struct fuse_statfs_out`. */
export const kstatfs = {
  blocks: 0,
  bfree: 8,
  bavail: 16,
  files: 24,
  ffree: 32,
  bsize: 40,
  namelen: 44,
  frsize: 48,
  size: 80,
} as const;

/** `struct fuse_dirent`; `name` follows, and the record is padded to 8 bytes. */
export const dirent = { ino: 0, off: 8, namelen: 16, type: 20, name: 24 } as const;

/** `enum fuse_notify_code`: goes in the place of an error, in a message with `unique` 0 that answers nothing. */
export const notifyCode = { invalInode: 2, store: 4, resend: 7 } as const;

/** Marks a request that comes again: FUSE_UNIQUE_RESEND. In the upper half of `unique`. */
export const resentBit = 0x80000000;

/** `struct fuse_notify_store_out`; the content follows. */
export const notifyStoreOut = { nodeid: 0, offset: 8, length: 16, size: 24 } as const;

/** `struct fuse_notify_inval_inode_out`; a length of 0 reaches to the end. */
export const notifyInvalInodeOut = { nodeid: 0, offset: 8, length: 16, size: 24 } as const;
