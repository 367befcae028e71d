import { writeSync, writevSync } from 'node:fs';
import { FuseError } from '../errors.ts';
import type { Channel } from './channel.ts';
import { acceptableErrno, notifyCode, outHeader } from './format.ts';
import { halvesOf } from './request.ts';

/** What {@link exchange} returns besides a length. */
export const AGAIN = 0;
export const GONE = -1;

/**
 * Sends an answer and waits for the next request.
 *
 * @param length - of the answer in bytes; 0 when there is none to send
 * @param report - gets SLUICE_FUSE_PROTOCOL when the kernel finds the answer wrong, for instance longer than what was
 * asked for. That is EIO to one reader, and must not end the service of the others
 * @returns length of the request in bytes; {@link AGAIN} when there is none after all, and the answer is dealt with;
 * {@link GONE} when the mount is
 * @throws {FuseError} SLUICE_FUSE_PROTOCOL when `channel` leads to no mounted /dev/fuse
 */
export function exchange(channel: Channel, length: number, report: (error: FuseError) => void): number {
  try {
    return channel(length);
  } catch (error) {
    return failedExchange(error, report);
  }
}

/** What an exchange that threw comes to: as {@link exchange}, which says what `report` gets. */
export function failedExchange(error: unknown, report: (error: FuseError) => void): typeof AGAIN | typeof GONE {
  if (syscallOf(error) !== 'write') return unreceived(error);
  const refused = refusalOf(error);
  if (refused !== undefined) report(refused);
  return AGAIN;
}

/**
 * Sends a whole answer, header included: the first `length` bytes of `answer`.
 * @returns false when nobody waits for it any more
 * @throws {FuseError} SLUICE_FUSE_PROTOCOL when the kernel finds it wrong, for instance longer than what was asked for
 */
export function send(fd: number, answer: Buffer, length: number): boolean {
  try {
    writeSync(fd, answer, 0, length, null);
    return true;
  } catch (error) {
    const refused = refusalOf(error);
    if (refused !== undefined) throw refused;
    return false;
  }
}

/**
 * Answers a pending read. From any thread, once a request.
 *
 * @param fd - the descriptor the request was read from: a clone has requests of its own
 * @param unique - what `read` was given
 * @param buffers - the data, together not longer than what was asked for; not kept
 * @returns false when nobody waits for it any more: answered before, or the mount is gone
 * @throws {FuseError} SLUICE_FUSE_PROTOCOL when the kernel finds the answer wrong; the reader then got EIO
 */
export function replyData(fd: number, unique: number, buffers: readonly Uint8Array[]): boolean {
  const length = buffers.reduce((sum, buffer) => sum + buffer.length, 0);
  try {
    writevSync(fd, [header(unique, 0, length), ...buffers]);
    return true;
  } catch (error) {
    const refused = refusalOf(error);
    if (refused !== undefined) throw refused;
    return false;
  }
}

/**
 * Answers a pending read with an error, for instance EIO, or EINTR after an interrupt.
 * @param errno - positive
 * @returns as {@link replyData} does
 */
export function replyError(fd: number, unique: number, errno: number): boolean {
  return send(fd, header(unique, -acceptableErrno(errno), 0), outHeader.size);
}

/**
 * Has the kernel send again all requests that were read from `fd` and not answered: those of a process that is gone, or
 * has let go. They come with a mark in `unique`, and answers have to repeat it.
 * Source: include/uapi/linux/fuse.h, FUSE_NOTIFY_RESEND (Linux 6.9).
 * @returns false when the kernel cannot, or the mount is gone
 */
export function resend(fd: number): boolean {
  const message = Buffer.alloc(outHeader.size);
  message.writeUInt32LE(message.length, outHeader.len);
  message.writeInt32LE(notifyCode.resend, outHeader.error);
  try {
    writeSync(fd, message);
    return true;
  } catch {
    return false;
  }
}

function header(unique: number, error: number, bodyLength: number): Buffer {
  const bytes = Buffer.allocUnsafe(outHeader.size);
  bytes.writeUInt32LE(outHeader.size + bodyLength, outHeader.len);
  bytes.writeInt32LE(error, outHeader.error);
  const [low, high] = halvesOf(unique);
  bytes.writeUInt32LE(low, outHeader.unique);
  bytes.writeUInt32LE(high, outHeader.unique + 4);
  return bytes;
}

/** What a failed read(2) means. */
function unreceived(error: unknown): typeof AGAIN | typeof GONE {
  switch (codeOf(error)) {
    // A signal; another worker was quicker; the request was given up before it could be read.
    case 'EINTR':
    case 'EAGAIN':
    case 'ENOENT':
      return AGAIN;
    // Unmounted or aborted; the second code is for connections that asked for it.
    case 'ENODEV':
    case 'ECONNABORTED':
      return GONE;
    default:
      throw new FuseError('SLUICE_FUSE_PROTOCOL', 'Cannot read from /dev/fuse: not mounted or not readable', {
        cause: error,
      });
  }
}

/**
 * What a failed write(2) means.
 * @returns undefined for the three codes of an answer that came too late; the next read notices the end of the mount
 */
function refusalOf(error: unknown): FuseError | undefined {
  const code = codeOf(error);
  if (code === 'ENOENT' || code === 'ENODEV' || code === 'ECONNABORTED') return undefined;
  return new FuseError('SLUICE_FUSE_PROTOCOL', 'Cannot answer a FUSE request: the kernel refuses the answer', {
    cause: error,
  });
}

/** Errors of `node:fs` and of the addon alike. */
const codeOf = (error: unknown): unknown => (error instanceof Error && 'code' in error ? error.code : undefined);
const syscallOf = (error: unknown): unknown =>
  error instanceof Error && 'syscall' in error ? error.syscall : undefined;
