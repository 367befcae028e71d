import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { runJson } from './workspace.js';

export const sluiceProgram = fileURLToPath(new URL('../../bin/sluice.js', import.meta.url));

/** @returns the summary of src/convert/summary.ts */
export function convert(source, target, cacheDirectory) {
  const args = ['convert', '--json', '--cache-dir', cacheDirectory, source, target];
  return runJson(process.execPath, [sluiceProgram, ...args]);
}

/** Mounts in the background; returns when the mount answers, with the serving process's number. */
export function mountImage(image, mountPoint, cacheDirectory) {
  mkdirSync(mountPoint, { recursive: true });
  const args = ['mount', '--json', '--cache-dir', cacheDirectory, image, mountPoint];
  // A daemon is not to outlive its benchmark.
  process.env.SLUICE_IDLE_EXIT ??= '1';
  return runJson(process.execPath, [sluiceProgram, ...args]).pid;
}

export function unmount(mountPoint) {
  execFileSync('umount', [mountPoint]);
}

/** Reads every file, so that every chunk is in the cache and known to be good. */
export function readAll(directory) {
  execFileSync('sh', ['-c', 'find "$1" -xdev -type f -exec cat {} + | wc -c', 'sh', directory]);
}

/** Converts one image tarred up from `tree`, and mounts it with everything read once. */
export function mountCached(layout, directory) {
  const cache = path.join(directory, 'cache');
  const converted = `oci:${path.join(directory, 'converted')}:image`;
  const mountPoint = path.join(directory, 'sluice');
  convert(layout, converted, cache);
  mountImage(converted, mountPoint, cache);
  readAll(mountPoint);
  return { name: 'sluice', mountPoint, remount: () => remount(converted, mountPoint, cache) };
}

function remount(image, mountPoint, cache) {
  unmount(mountPoint);
  mountImage(image, mountPoint, cache);
}
