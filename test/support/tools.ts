import { accessSync, constants } from 'node:fs';
import path from 'node:path';

/** sbin is not on everybody's PATH; the tools there are run by name all the same. */
const folders = [...new Set([...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/sbin'])];

function find(program: string): string | undefined {
  return folders.map((folder) => path.join(folder, program)).find(isExecutable);
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

const warned = new Set<string>();

/**
 * Something the tests want of the machine is not there: says so once, loudly. In CI it is an error, so that nothing
 * can be skipped for months without anybody seeing it.
 * @throws Error when the environment has CI
 */
export function reportMissing(reason: string): void {
  if (process.env.CI) throw new Error(`${reason}, and CI must not skip a test`);
  if (warned.has(reason)) return;
  warned.add(reason);
  console.warn(`SKIPPED: ${reason}`);
}

/** Whether every one of `programs` can be run; reports those that cannot. For `describe.skipIf(!has('fsck.erofs'))`. */
export function has(...programs: readonly string[]): boolean {
  const missing = programs.filter((program) => find(program) === undefined);
  if (missing.length > 0) reportMissing(`${missing.join(', ')} is not installed`);
  return missing.length === 0;
}

/** Another version of Node, named by SLUICE_OTHER_NODE, to try the same on; reports it when there is none. */
export function otherNode(): string | undefined {
  const node = process.env.SLUICE_OTHER_NODE || undefined;
  if (node === undefined) reportMissing('SLUICE_OTHER_NODE names no other Node');
  return node;
}

/** Whether the tests run as root; reports it when they do not. */
export function isRoot(): boolean {
  const root = process.getuid?.() === 0;
  if (!root) reportMissing('the tests do not run as root');
  return root;
}
