import { readSync, writeSync } from 'node:fs';
import { loadNative, type Native } from '../native.ts';

/**
 * A worker's way to the kernel: sends the first `length` bytes of the answer, none when that is 0, then blocks until
 * there is a request, and gives its length in bytes.
 *
 * Throws what the system call failed with: an error with `code` and `syscall`, after `write` without having read.
 */
export type Channel = (length: number) => number;

/**
 * Both system calls in one call of the addon when there is one, for that saves half a microsecond a request (ADR-0005).
 *
 * @param fd - stays open, and has to as long as the channel is used
 * @param answer - where the answers are encoded; kept, as `request` is
 * @param request - where the requests go
 */
export function openChannel(fd: number, answer: Buffer, request: Buffer): Channel {
  const native = loadNative();
  return native === undefined ? portableChannel(fd, answer, request) : nativeChannel(native, fd, answer, request);
}

function nativeChannel(native: Native, fd: number, answer: Buffer, request: Buffer): Channel {
  const { fuseExchange } = native;
  return (length) => fuseExchange(fd, answer, length, request);
}

function portableChannel(fd: number, answer: Buffer, request: Buffer): Channel {
  return (length) => {
    if (length > 0) writeSync(fd, answer, 0, length, null);
    return readSync(fd, request, 0, request.length, null);
  };
}
