import { FuseError } from '../errors.ts';
import { initFlag, initIn, initOut, protocol } from './format.ts';
import { maximumRead, type Reply } from './reply.ts';
import type { Request } from './request.ts';

/** Without these two every open would cost a request, and page cache and directory cache would need to be asked for. */
const required = initFlag.noOpenSupport | initFlag.noOpendirSupport;

/**
 * What is asked of the kernel, as far as it offers it:
 * - readahead and directory operations in parallel;
 * - names together with attributes when whoever lists a directory also looks at its entries;
 * - link targets kept, requests of 1 MiB;
 * - file handles (`name_to_handle_at`, overlayfs on top), since node IDs are stable;
 * - POSIX ACLs of the image honoured in permission checks, which the kernel makes (it implies default_permissions).
 *
 * Left out on purpose: ASYNC_DIO, because then a reader with O_DIRECT sleeps where no signal wakes it; AUTO_INVAL_DATA
 * and everything about writing, because nothing changes.
 */
const wanted =
  required |
  initFlag.asyncRead |
  initFlag.exportSupport |
  initFlag.doReaddirplus |
  initFlag.readdirplusAuto |
  initFlag.parallelDirops |
  initFlag.posixAcl |
  initFlag.maxPages |
  initFlag.cacheSymlinks;

/**
 * How many readaheads may be under way at once. A readahead that misses the cache holds its slot until the network
 * answers; with the kernel's default of 12, a dozen misses would stall the readahead of files that are local.
 */
const maximumBackground = 512;

/** From here on the kernel drops readahead nobody waits for. */
const congestionThreshold = 384;

/** The least the kernel takes; nothing is ever written, and the receive buffer has to hold a write of this size. */
const maximumWrite = 4096;

const pageSize = 4096;

/**
 * Answers INIT, the first request of every mount.
 *
 * Source: include/uapi/linux/fuse.h, `fuse_init_in`, `fuse_init_out`, "Version negotiation".
 * @param maximumReadahead - bytes; the kernel takes the smaller of this and its own setting, which may be changed later
 * @returns length of the body
 * @throws {FuseError} SLUICE_FUSE_PROTOCOL when the kernel is too old
 */
export function negotiate(request: Request, reply: Reply, maximumReadahead: number = maximumRead): number {
  request.need(initIn.size);
  const major = request.u32(initIn.major);
  const minor = request.u32(initIn.minor);
  const offered = request.u32(initIn.flags);
  const body = reply.data;
  body.fill(0, 0, initOut.size);
  body.writeUInt32LE(protocol.major, initOut.major);
  body.writeUInt32LE(Math.min(minor, protocol.minor), initOut.minor);
  // A kernel with a later major version asks again with ours.
  if (major > protocol.major) return initOut.size;
  if (major < protocol.major || minor < protocol.minimumMinor || (offered & required) !== required) {
    throw new FuseError(
      'SLUICE_FUSE_PROTOCOL',
      `Cannot serve this kernel: it speaks FUSE ${major}.${minor}, at least ${protocol.major}.${protocol.minimumMinor} (Linux 5.4) is needed`,
      { facts: { major, minor } },
    );
  }
  body.writeUInt32LE(maximumReadahead, initOut.maxReadahead);
  body.writeUInt32LE((offered & wanted) >>> 0, initOut.flags);
  body.writeUInt16LE(maximumBackground, initOut.maxBackground);
  body.writeUInt16LE(congestionThreshold, initOut.congestionThreshold);
  body.writeUInt32LE(maximumWrite, initOut.maxWrite);
  body.writeUInt32LE(1, initOut.timeGran);
  body.writeUInt16LE(maximumRead / pageSize, initOut.maxPages);
  return initOut.size;
}
