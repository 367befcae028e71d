import { closeSync, constants, openSync } from 'node:fs';
import { FlockLock, LinkLock } from '../cache/lock.ts';
import { DaemonClient } from '../control/daemon-client.ts';
import { UsageError } from '../errors.ts';
import { loadNative } from '../native.ts';

/**
 * Makes this process the only one to start a daemon at a socket, until it ends.
 * @throws {UsageError} SLUICE_DAEMON_RUNS when there is one; SLUICE_OPTION_INVALID when no socket can be there
 */
export async function lockDaemon(socket: string): Promise<void> {
  if (!tryLock(socket)) throw taken(socket);
  // A daemon outlives its holder, which had the lock; and without the addon, the lock is another one.
  if ((await new DaemonClient(socket).status()) !== undefined) throw taken(socket);
}

function tryLock(socket: string): boolean {
  try {
    const native = loadNative();
    if (native === undefined) return new LinkLock(`${socket}.owner`).tryAcquire();
    const fd = openSync(`${socket}.lock`, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
    // The lock is the open file's, and goes with the process.
    const isOurs = new FlockLock(native, fd).tryAcquire();
    if (!isOurs) closeSync(fd);
    return isOurs;
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new UsageError('SLUICE_OPTION_INVALID', `Cannot listen on "${socket}": ${why}`, { cause });
  }
}

function taken(socket: string): UsageError {
  return new UsageError('SLUICE_DAEMON_RUNS', `Cannot start a daemon: one listens on "${socket}" already`);
}
