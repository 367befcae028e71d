import { readSync, writeSync, writevSync } from 'node:fs';
import { FuseError } from '../errors.ts';
import { acceptableErrno, outHeader } from './format.ts';

/** What {@link receive} returns besides a length. */
export const AGAIN = 0;
export const GONE = -1;

const codeOf = (error: unknown): unknown => (error instanceof Error && 'code' in error ? error.code : undefined);

/**
 * Waits for a request.
 *
 * @returns its length in bytes; {@link AGAIN} when there is none after all, {@link GONE} when the mount is
 * @throws {FuseError} SLUICE_FUSE_PROTOCOL when `fd` is no mounted /dev/fuse
 */
export function receive(fd: number, buffer: Buffer): number {
  try {
    return readSync(fd, buffer, 0, buffer.length, null);
  } catch (error) {
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
    return refused(error);
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
    return refused(error);
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

function header(unique: number, error: number, bodyLength: number): Buffer {
  const bytes = Buffer.allocUnsafe(outHeader.size);
  bytes.writeUInt32LE(outHeader.size + bodyLength, outHeader.len);
  bytes.writeInt32LE(error, outHeader.error);
  bytes.writeUInt32LE(unique >>> 0, outHeader.unique);
  bytes.writeUInt32LE(Math.floor(unique / 0x100000000), outHeader.unique + 4);
  return bytes;
}

/** The three codes of an answer that came too late; `receive` notices the end of the mount by itself. */
function refused(error: unknown): false {
  const code = codeOf(error);
  if (code === 'ENOENT' || code === 'ENODEV' || code === 'ECONNABORTED') return false;
  throw new FuseError('SLUICE_FUSE_PROTOCOL', 'Cannot answer a FUSE request: the kernel refuses the answer', {
    cause: error,
  });
}
