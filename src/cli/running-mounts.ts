import { realpath } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RemoteMount } from '../control/control-client.ts';
import { NotFoundError, UsageError } from '../errors.ts';
import { formatReference, parseReference } from '../oci/reference.ts';
import type { CacheFlags, SocketFlags } from './options.ts';

/**
 * A process begins to listen when its mount answers already, so that nobody waits for it: a command that comes right
 * behind the mount may be too early.
 */
const listenWaitMs = [0, 50, 100, 200, 400, 800];

/**
 * Finds running mounts, waiting a little for one that has only just been made.
 * @param target - a mount point, or an image: all its mounts
 * @throws {NotFoundError} SLUICE_MOUNT_NOT_FOUND
 */
export async function mountsOf(target: string, flags: SocketFlags & CacheFlags): Promise<RemoteMount[]> {
  for (const wait of listenWaitMs) {
    await sleep(wait);
    const mounts = await runningMounts(target, flags);
    if (mounts.length > 0) return mounts;
  }
  throw new NotFoundError(
    'SLUICE_MOUNT_NOT_FOUND',
    `Cannot find a mount of "${target}": no process with the cache "${flags.cacheDir}" serves one`,
  );
}

/** Every mount of every process that uses the cache, and of the daemon at a socket that is named. */
export async function allMounts({ socket, cacheDir }: SocketFlags & CacheFlags): Promise<RemoteMount[]> {
  const { findMounts, mountsAt } = await import('../control/control-client.ts');
  const named = socket === undefined ? [] : await mountsAt(socket);
  const found = await findMounts(cacheDir);
  return [...named, ...found.filter(({ pid }) => !named.some((mount) => mount.pid === pid))];
}

/** The running mounts, of all processes that use a cache, on a mount point or of an image. */
export async function runningMounts(target: string, flags: SocketFlags & CacheFlags): Promise<RemoteMount[]> {
  const mounts = await allMounts(flags);
  const mountPoint = await realpath(target).catch(() => target);
  const atPoint = mounts.filter(({ status }) => status.mountPoint === mountPoint);
  if (atPoint.length > 0) return atPoint;
  const reference = canonicalReference(target);
  return mounts.filter(({ status }) => status.image === reference);
}

/** @returns undefined when it is no reference: then it may be a directory where nothing is mounted */
function canonicalReference(target: string): string | undefined {
  try {
    return formatReference(parseReference(target));
  } catch (error) {
    if (error instanceof UsageError) return undefined;
    throw error;
  }
}
