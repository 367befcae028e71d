import { closeSync, constants, openSync } from 'node:fs';
import { FlockLock, LinkLock } from '../cache/lock.ts';
import { UsageError } from '../errors.ts';
import { loadNative } from '../native.ts';

/**
 * Makes this process the only one to start a daemon at a socket, until it ends.
 * @throws {UsageError} SLUICE_DAEMON_RUNS when there is one
 */
export function lockDaemon(socket: string): void {
  const file = `${socket}.lock`;
  const native = loadNative();
  if (native === undefined) {
    if (!new LinkLock(file).tryAcquire()) throw taken(socket);
    return;
  }
  const fd = openSync(file, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
  // The lock is the open file's, and goes with the process.
  if (new FlockLock(native, fd).tryAcquire()) return;
  closeSync(fd);
  throw taken(socket);
}

function taken(socket: string): UsageError {
  return new UsageError('SLUICE_DAEMON_RUNS', `Cannot start a daemon: one listens on "${socket}" already`);
}
