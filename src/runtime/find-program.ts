import { accessSync, constants } from 'node:fs';
import path from 'node:path';

/** Programs of the system's administrator are there; the PATH of many users leaves these out. */
const systemFolders = ['/usr/local/sbin', '/usr/sbin', '/sbin'];

/** Where programs are looked for: PATH, but for what is relative, and the system's own folders. */
export const programFolders: readonly string[] = [
  ...(process.env.PATH ?? '').split(':').filter((folder) => folder.startsWith('/')),
  ...systemFolders,
];

/** @returns absolute; undefined when it is not installed */
export function findProgram(name: string): string | undefined {
  return programFolders.map((folder) => path.join(folder, name)).find(isExecutable);
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
