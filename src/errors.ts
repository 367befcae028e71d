import { constants } from 'node:os';

const { EIO, ENOENT, EINVAL, EACCES, ENOSPC, ETIMEDOUT } = constants.errno;

/** What a failure means to each kind of caller: the kernel (`errno`), the shell (`exit`), a retry loop (`retryable`). */
export interface ErrorMeaning {
  /** What FUSE replies, a positive errno. */
  readonly errno: number;
  /** Exit status of the command. */
  readonly exit: number;
  /** Whether the same call may succeed later without anybody changing anything. */
  readonly retryable: boolean;
}

const exitStatus = {
  usage: 2,
  notFound: 3,
  format: 4,
  integrity: 5,
  registry: 6,
  cache: 7,
  fuse: 8,
  daemonRuns: 9,
  container: 125,
  cancelled: 130,
};

const format = { errno: EIO, exit: exitStatus.format, retryable: false };
const integrity = { errno: EIO, exit: exitStatus.integrity, retryable: false };
const registry = { errno: EIO, exit: exitStatus.registry, retryable: false };
const registryRetry = { errno: EIO, exit: exitStatus.registry, retryable: true };
const notFound = { errno: ENOENT, exit: exitStatus.notFound, retryable: false };
const cache = { errno: EIO, exit: exitStatus.cache, retryable: false };
const fuse = { errno: EIO, exit: exitStatus.fuse, retryable: false };
const container = { errno: EIO, exit: exitStatus.container, retryable: false };
const usage = { errno: EINVAL, exit: exitStatus.usage, retryable: false };

/**
 * Every error code, the one table from which errno, exit status and retry policy follow.
 * `docs/errors.md` repeats it for people and a test holds the two equal.
 */
export const errorTable = {
  // Format: bytes that are not what they claim to be.
  SLUICE_TAR_INVALID: format,
  SLUICE_TAR_LIMIT: format,
  SLUICE_ZSTD_INVALID: format,
  SLUICE_ZSTD_LENGTH: format,
  SLUICE_GZIP_INVALID: format,
  SLUICE_EROFS_INVALID: format,
  SLUICE_EROFS_OUT_OF_BOUNDS: format,
  SLUICE_EROFS_UNSUPPORTED: format,
  SLUICE_TREE_INVALID: format,
  SLUICE_CHUNK_MAP_INVALID: format,
  SLUICE_BLOB_INVALID: format,
  SLUICE_BOOTSTRAP_INVALID: format,
  SLUICE_BOOTSTRAP_UNSUPPORTED: format,
  SLUICE_MANIFEST_INVALID: format,
  SLUICE_MANIFEST_UNSUPPORTED: format,
  SLUICE_ARCHIVE_INVALID: format,
  SLUICE_CONFIG_INVALID: format,
  SLUICE_PROFILE_INVALID: format,
  SLUICE_HOT_BLOB_INVALID: format,
  // Integrity: bytes that are well-formed but not the ones that were promised.
  SLUICE_DIGEST_MISMATCH: integrity,
  SLUICE_SIZE_MISMATCH: integrity,
  SLUICE_CHUNK_DIGEST_MISMATCH: integrity,
  SLUICE_MERKLE_MISMATCH: integrity,
  SLUICE_SOURCE_DIFFERS: integrity,
  SLUICE_IMAGE_DAMAGED: integrity,
  // Registry: the network and the other side of it.
  SLUICE_REGISTRY_UNREACHABLE: registryRetry,
  SLUICE_REGISTRY_TIMEOUT: { errno: ETIMEDOUT, exit: exitStatus.registry, retryable: true },
  SLUICE_REGISTRY_UNAUTHORIZED: { errno: EACCES, exit: exitStatus.registry, retryable: false },
  SLUICE_REGISTRY_DENIED: { errno: EACCES, exit: exitStatus.registry, retryable: false },
  SLUICE_REGISTRY_TOO_MANY_REQUESTS: registryRetry,
  SLUICE_REGISTRY_UNAVAILABLE: registryRetry,
  SLUICE_REGISTRY_RANGE: registryRetry,
  SLUICE_REGISTRY_PROTOCOL: registry,
  SLUICE_OFFLINE: registry,
  // Not found: the name is right in form, and nothing is there.
  SLUICE_IMAGE_NOT_FOUND: notFound,
  SLUICE_BLOB_NOT_FOUND: notFound,
  SLUICE_PLATFORM_NOT_FOUND: notFound,
  SLUICE_PATH_NOT_FOUND: notFound,
  SLUICE_MOUNT_NOT_FOUND: notFound,
  SLUICE_PROFILE_NOT_FOUND: notFound,
  // Cache: the local disk.
  SLUICE_CACHE_IO: cache,
  SLUICE_CACHE_FULL: { errno: ENOSPC, exit: exitStatus.cache, retryable: true },
  SLUICE_CACHE_LOCKED: { errno: EIO, exit: exitStatus.cache, retryable: true },
  SLUICE_CACHE_UNSAFE: cache,
  SLUICE_PIN_TOO_LARGE: cache,
  // FUSE and the system calls around it.
  SLUICE_FUSE_PROTOCOL: fuse,
  SLUICE_FUSE_UNAVAILABLE: fuse,
  SLUICE_MOUNT_FAILED: fuse,
  SLUICE_UNMOUNT_FAILED: fuse,
  SLUICE_NATIVE_MISSING: fuse,
  SLUICE_CONTROL_UNAVAILABLE: fuse,
  SLUICE_DAEMON_ENDS: { errno: EIO, exit: exitStatus.fuse, retryable: true },
  SLUICE_BENCH_FAILED: fuse,
  SLUICE_UPGRADE_FAILED: fuse,
  // Container: the OCI runtime and what it needs of image and machine.
  SLUICE_RUNTIME_MISSING: container,
  SLUICE_RUNTIME_FAILED: container,
  SLUICE_ROOTFS_FAILED: container,
  SLUICE_USER_NOT_FOUND: container,
  SLUICE_CONTAINER_EXISTS: container,
  // Usage: what was asked for makes no sense as asked.
  SLUICE_REFERENCE_INVALID: usage,
  SLUICE_OPTION_INVALID: usage,
  SLUICE_TRACE_STATE: usage,
  SLUICE_DAEMON_RUNS: { errno: EINVAL, exit: exitStatus.daemonRuns, retryable: false },
  SLUICE_TARGET_LOCKED: { errno: EINVAL, exit: exitStatus.usage, retryable: true },
  SLUICE_CANCELLED: { errno: constants.errno.EINTR, exit: exitStatus.cancelled, retryable: false },
} as const satisfies Record<string, ErrorMeaning>;

/** One of the codes of {@link errorTable}; callers match on it, never on the message. */
export type ErrorCode = keyof typeof errorTable;

/** Typed facts of one failure: digests, offsets, names. They are printed by `--json` and by the log. */
export type ErrorFacts = Readonly<Record<string, string | number | bigint | undefined>>;

/** What an error may carry besides its message. */
export interface ErrorDetail {
  readonly facts?: ErrorFacts;
  readonly cause?: unknown;
}

/**
 * The root of every error sluice raises on purpose. A caller's bug is a `TypeError` or `RangeError` instead.
 * Messages start with what could not be done, quote values, and end without a full stop.
 */
export abstract class SluiceError extends Error implements ErrorMeaning {
  readonly code: ErrorCode;
  readonly facts: ErrorFacts;

  constructor(code: ErrorCode, message: string, detail: ErrorDetail = {}) {
    super(message, detail.cause === undefined ? undefined : { cause: detail.cause });
    this.name = new.target.name;
    this.code = code;
    this.facts = detail.facts ?? {};
  }

  get errno(): number {
    return errorTable[this.code].errno;
  }
  get exit(): number {
    return errorTable[this.code].exit;
  }
  get retryable(): boolean {
    return errorTable[this.code].retryable;
  }
}

/** Bytes that are not what they claim to be. The source has to be made again. */
export class FormatError extends SluiceError {}
/** Well-formed bytes that differ from what was promised. Another copy may be good. */
export class IntegrityError extends SluiceError {}
/** The registry or the way to it. `retryable` says whether waiting helps. */
export class RegistryError extends SluiceError {}
/** A well-formed name with nothing behind it. */
export class NotFoundError extends SluiceError {}
/** The local cache's disk. Reads can go on without it. */
export class CacheError extends SluiceError {}
/** FUSE, mount(2) and what they need of the machine. */
export class FuseError extends SluiceError {}
/** A container that cannot be started; what was about to run has not begun. */
export class ContainerError extends SluiceError {}
/** The caller asked for something that makes no sense; the message says what would. */
export class UsageError extends SluiceError {}
