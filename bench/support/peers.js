import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { raiseReadahead } from './mounts.js';

const quiet = { stdio: ['ignore', 'ignore', 'inherit'] };

/** The same tree under squashfuse_ll. `none` costs it no decompression, as a cache of plain chunks does not. */
export function mountSquashfuse(tree, compression, directory) {
  const image = path.join(directory, `${compression}.squashfs`);
  const mountPoint = path.join(directory, `squashfuse-${compression}`);
  const options = compression === 'none' ? ['-noI', '-noD', '-noF', '-noX'] : ['-comp', compression];
  execFileSync('mksquashfs', [tree, image, '-no-progress', '-quiet', '-noappend', ...options], quiet);
  mkdirSync(mountPoint);
  const mount = () => {
    execFileSync('squashfuse_ll', [image, mountPoint], quiet);
    raiseReadahead(mountPoint);
  };
  mount();
  return { name: `squashfuse (${compression})`, mountPoint, remount: () => again(mountPoint, mount) };
}

/** The same tree under the kernel's EROFS, uncompressed, on a loop device. */
export function mountErofs(tree, directory) {
  const image = path.join(directory, 'tree.erofs');
  const mountPoint = path.join(directory, 'erofs');
  execFileSync('mkfs.erofs', ['--quiet', image, tree], quiet);
  mkdirSync(mountPoint);
  const mount = () => execFileSync('mount', ['-t', 'erofs', '-o', 'loop,ro', image, mountPoint]);
  mount();
  return { name: 'EROFS (kernel)', mountPoint, remount: () => again(mountPoint, mount) };
}

function again(mountPoint, mount) {
  execFileSync('umount', [mountPoint]);
  mount();
}
