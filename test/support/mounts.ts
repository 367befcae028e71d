import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';

/** One line of /proc/self/mountinfo (proc_pid_mountinfo(5)). */
export interface Mount {
  readonly target: string;
  readonly type: string;
  readonly source: string;
  /** Minor of the device number: for FUSE the name of its folder in /sys/fs/fuse/connections. */
  readonly minor: number;
}

const decodeField = (field: string): string =>
  field.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));

/** Every mount of this mount namespace, in mount order. */
export function mounts(): Mount[] {
  const lines = readFileSync('/proc/self/mountinfo', 'utf8').trimEnd().split('\n');
  return lines.map((line) => {
    const [before = '', after = ''] = line.split(' - ');
    const [, , device = '', , target = ''] = before.split(' ');
    const [type = '', source = ''] = after.split(' ');
    return { target: decodeField(target), type, source: decodeField(source), minor: Number(device.split(':')[1]) };
  });
}

/** Mounts at or below `directory` (an absolute path without links), the last mounted first: the order to unmount in. */
function mountsBelow(directory: string): Mount[] {
  const inside = ({ target }: Mount): boolean => target === directory || target.startsWith(`${directory}/`);
  return mounts().filter(inside).reverse();
}

/** A FUSE server that hangs would block whoever walks its mount: the kernel answers ENOTCONN from now on. */
function abortFuse(mount: Mount): void {
  try {
    writeFileSync(`/sys/fs/fuse/connections/${mount.minor}/abort`, '1');
  } catch {
    // The connection is gone already, or /sys is read-only: the lazy unmount below does without.
  }
}

/**
 * Unmounts `mount`, whatever is going on in it; never waits for a FUSE server.
 * @throws Error when umount(8) fails
 */
function forceUnmount(mount: Mount): void {
  if (mount.type.startsWith('fuse')) abortFuse(mount);
  execFileSync('umount', ['--lazy', '--no-canonicalize', mount.target], { stdio: 'pipe' });
}

/** Unmounts everything at or below `directory`; returns what there was. */
export function unmountBelow(directory: string): Mount[] {
  const found = mountsBelow(directory);
  for (const mount of found) forceUnmount(mount);
  return found;
}
