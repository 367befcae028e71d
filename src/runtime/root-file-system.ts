import { ContainerError, FuseError } from '../errors.ts';
import { findMount } from '../fuse/mount-info.ts';
import { runTool } from '../fuse/run-tool.ts';
import { unmount } from '../fuse/unmount.ts';
import { loadNative, type Native, type NativeError } from '../native.ts';
import type { ContainerFolder } from './container-folder.ts';
import type { Privileges } from './privileges.ts';

/**
 * Changing a file's owner or mode copies the file's attributes and not its data, which would be fetched for it; and
 * nothing written is synced to the disk, because it is thrown away. A user namespace cannot have the first. Source: Documentation/filesystems/overlayfs.rst.
 */
const wantedOptions: Readonly<Record<Privileges, string>> = {
  full: 'metacopy=on,volatile',
  namespaced: 'userxattr,volatile',
};

/**
 * Puts a writable layer on the image of `folder`. Safe on the thread that fetches for the image: overlayfs looks at
 * nothing but its root, which the mount's workers know.
 *
 * @throws {ContainerError} SLUICE_ROOTFS_FAILED when the folder lies where overlayfs cannot write, on another overlay
 *   for example
 */
export async function mountRoot(folder: ContainerFolder, privileges: Privileges): Promise<void> {
  const layers = `lowerdir=${escapeOption(folder.at('image'))},upperdir=${escapeOption(folder.at('upper'))},workdir=${escapeOption(folder.at('work'))}`;
  const target = folder.at('rootfs');
  const native = loadNative();
  try {
    if (native === undefined) await mountByTool(target, `${layers},${wantedOptions[privileges]}`);
    else mountByCall(native, target, layers, wantedOptions[privileges]);
  } catch (cause) {
    throw new ContainerError(
      'SLUICE_ROOTFS_FAILED',
      `Cannot mount a root file system on "${target}": overlayfs refuses; try another --state-dir`,
      { cause },
    );
  }
}

/** Unmounts root file system and image, whatever is still open in them. Nobody may be in a system call of ours there. */
export async function unmountAll(folder: ContainerFolder): Promise<void> {
  for (const part of ['rootfs', 'image'] as const) {
    const mountPoint = folder.at(part);
    if (findMount(mountPoint) !== undefined) await unmount(mountPoint, { lazy: true, abort: part === 'image' });
  }
}

/** Kernels before 5.10 know less: what is lost is speed. */
function mountByCall(native: Native, target: string, layers: string, wanted: string): void {
  try {
    native.mount('sluice', target, 'overlay', 0, `${layers},${wanted}`);
  } catch (error) {
    if ((error as NativeError).code !== 'EINVAL') throw error;
    native.mount('sluice', target, 'overlay', 0, layers);
  }
}

async function mountByTool(target: string, options: string): Promise<void> {
  const { status, message } = await runTool('mount', ['-i', '-t', 'overlay', '-o', options, '--', 'sluice', target]);
  if (status !== 0) throw new FuseError('SLUICE_MOUNT_FAILED', `Cannot mount on "${target}": ${message}`);
}

/** overlayfs ends a folder's name at a comma, and that of a lower one at a colon, unless a backslash comes before. */
function escapeOption(folder: string): string {
  return folder.replace(/[\\,:]/g, '\\$&');
}
