import { writeFileSync } from 'node:fs';
import { FuseError } from '../errors.ts';
import { loadNative, type Native } from '../native.ts';
import { findMount } from './mount-info.ts';
import { runTool } from './run-tool.ts';

export interface UnmountOptions {
  /** Takes the mount out of the tree at once, and ends it when the last open file is closed. */
  readonly lazy?: boolean;
  /** Fails every request, those under way and all later ones, before the mount goes: for a mount nobody serves. */
  readonly abort?: boolean;
}

/** umount2(2). */
const MNT_FORCE = 1;
const MNT_DETACH = 2;
const UMOUNT_NOFOLLOW = 8;

/**
 * Unmounts a FUSE mount, also one whose server died. When the mount ends, its workers return from `serve`.
 *
 * @param mountPoint - canonical; not touched otherwise
 * @throws {FuseError} SLUICE_UNMOUNT_FAILED, for instance because files are open (then: lazy)
 */
export async function unmount(mountPoint: string, options: UnmountOptions = {}): Promise<void> {
  const { lazy = false, abort = false } = options;
  const force = abort && !abortConnection(mountPoint);
  if (process.geteuid?.() !== 0) return await unmountByTool('fusermount3', lazy ? ['-u', '-z'] : ['-u'], mountPoint);
  const native = loadNative();
  if (native !== undefined) return unmountByCall(native, mountPoint, force, lazy);
  await unmountByTool('umount', ['-i', ...(force ? ['-f'] : []), ...(lazy ? ['-l'] : [])], mountPoint);
}

function unmountByCall(native: Native, mountPoint: string, force: boolean, lazy: boolean): void {
  try {
    native.umount(mountPoint, UMOUNT_NOFOLLOW | (force ? MNT_FORCE : 0) | (lazy ? MNT_DETACH : 0));
  } catch (cause) {
    throw unmountFailed(mountPoint, cause instanceof Error ? cause.message : String(cause), cause);
  }
}

/**
 * Source: Documentation/filesystems/fuse.rst, "Control filesystem": a directory a connection, named by the minor number.
 * @returns false when the control file system is not there or not writable; MNT_FORCE does the same for root
 */
function abortConnection(mountPoint: string): boolean {
  const mount = findMount(mountPoint);
  if (mount === undefined) return false;
  const minor = mount.device.slice(mount.device.indexOf(':') + 1);
  try {
    writeFileSync(`/sys/fs/fuse/connections/${minor}/abort`, '1');
    return true;
  } catch {
    return false;
  }
}

async function unmountByTool(command: string, args: readonly string[], mountPoint: string): Promise<void> {
  const { status, message } = await runTool(command, [...args, '--', mountPoint]);
  if (status !== 0) throw unmountFailed(mountPoint, message || `status ${status}`);
}

function unmountFailed(mountPoint: string, why: string, cause?: unknown): FuseError {
  return new FuseError('SLUICE_UNMOUNT_FAILED', `Cannot unmount "${mountPoint}": ${why}`, { cause });
}
