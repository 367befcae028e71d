import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';

/** The mounts on and below a directory, the topmost last. */
function mountsBelow(directory) {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((mountPoint) => mountPoint === directory || mountPoint.startsWith(`${directory}/`));
}

/** Never waits for a FUSE server, nor for those who have files open. */
export function unmountBelow(directory) {
  for (const mountPoint of mountsBelow(directory).reverse()) execFileSync('umount', ['-l', mountPoint]);
}

/** The kernel's default is 128 KiB; FuseSession raises it, so whoever is compared with it gets the same. */
export function raiseReadahead(mountPoint) {
  const lines = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  const device = lines.map((line) => line.split(' ')).findLast((fields) => fields[4] === mountPoint)[2];
  writeFileSync(`/sys/class/bdi/${device}/read_ahead_kb`, '1024');
}

/** The processes that a benchmark started and that survived it, for all of them inherit its TMPDIR. */
export function processesOf(directory) {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((pid) => environmentOf(pid).includes(`TMPDIR=${directory}`))
    .map((pid) => ({ pid: Number(pid), program: programOf(pid) }));
}

function environmentOf(pid) {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0');
  } catch {
    return []; // it has just ended
  }
}

function programOf(pid) {
  try {
    return readlinkSync(`/proc/${pid}/exe`);
  } catch {
    return 'unknown';
  }
}
