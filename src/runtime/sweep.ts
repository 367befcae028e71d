import { readdirSync, statSync } from 'node:fs';
import { ContainerFolder } from './container-folder.ts';
import type { Runtime } from './find-runtime.ts';
import { unmountAll } from './root-file-system.ts';
import { deleteContainer } from './run-container.ts';

/** A folder is somebody's from the moment after it was made; one that stays nobody's for so long is a wreck. */
const graceMs = 60_000;

/**
 * Removes containers whose process was killed: what still runs of them, their mounts, and their folders. What cannot be
 * removed stays for the next time.
 *
 * @param parent - the folder that containers have theirs in
 */
export async function sweepContainers(parent: string, runtime: Runtime): Promise<void> {
  for (const name of readdirSync(parent)) {
    const folder = new ContainerFolder(parent, name);
    if (isWreck(folder)) await sweep(folder, runtime).catch(() => undefined);
  }
}

async function sweep(folder: ContainerFolder, runtime: Runtime): Promise<void> {
  await deleteContainer(runtime, folder);
  await unmountAll(folder);
  await folder.remove();
}

function isWreck(folder: ContainerFolder): boolean {
  const owned = folder.isOwned();
  if (owned !== undefined) return !owned;
  const stats = statSync(folder.path, { throwIfNoEntry: false });
  return stats?.isDirectory() === true && Date.now() - stats.mtimeMs > graceMs;
}
