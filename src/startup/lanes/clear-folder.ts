import { readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tryProgram } from './program.ts';

/** Unmounting and removing take no longer than this, ms. */
const clearMs = 60_000;

/** A mount below a folder. Source: proc(5), /proc/pid/mountinfo. */
export interface MountBelow {
  readonly target: string;
  /** `fuse.rawBridge`, `overlay`. */
  readonly type: string;
}

/** What is mounted at or below `folder`, the last mounted first. Reads /proc only. */
export function mountsBelow(folder: string): MountBelow[] {
  const found: MountBelow[] = [];
  for (const line of readFileSync('/proc/self/mountinfo', 'utf8').split('\n')) {
    const fields = line.split(' ');
    const target = fields[4] ?? '';
    if (target === folder || target.startsWith(`${folder}/`)) {
      found.unshift({ target, type: fields[fields.indexOf('-', 6) + 1] ?? '' });
    }
  }
  return found;
}

/**
 * Unmounts everything at or below `folder` and removes it; does nothing when it is not there.
 * @param folder - absolute, without links, spaces or backslashes: mountinfo escapes those
 */
export async function clearFolder(folder: string): Promise<void> {
  const signal = AbortSignal.timeout(clearMs);
  // Lazily: the server of a FUSE mount may be gone, and waiting for it would be for good.
  for (const { target } of mountsBelow(folder))
    await tryProgram('umount', ['--lazy', '--no-canonicalize', target], { signal });
  await rm(folder, { recursive: true, force: true, maxRetries: 3 });
}
