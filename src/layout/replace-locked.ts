import { type FileHandle, open, readFile, rename, rm } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { UsageError } from '../errors.ts';

const pollMs = 20;
/** Holding the lock takes milliseconds; who waits this long waits for a process that died with it. */
const patienceMs = 10_000;

async function lock(file: string, signal?: AbortSignal): Promise<FileHandle> {
  for (let waitedMs = 0; waitedMs < patienceMs; waitedMs += pollMs) {
    try {
      return await open(file, 'wx', 0o644);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      await sleep(pollMs, undefined, signal ? { signal } : {});
    }
  }
  throw new UsageError(
    'SLUICE_TARGET_LOCKED',
    `Cannot lock "${file}": it has existed for ${patienceMs / 1000} s; remove it if no other process writes there`,
  );
}

/**
 * Replaces a small file by what `update` makes of it. The new content is written to `FILE.lock`, which only one process
 * can create, and renamed over the file: one step, as git does with its index.
 *
 * @param update - gets the present content, `undefined` when there is no file
 * @throws {UsageError} SLUICE_TARGET_LOCKED when another process holds the lock for too long
 */
export async function replaceLocked(
  file: string,
  update: (old: Uint8Array | undefined) => Uint8Array,
  signal?: AbortSignal,
): Promise<void> {
  const temporary = `${file}.lock`;
  const handle = await lock(temporary, signal);
  try {
    const old = await readFile(file).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined;
      throw error;
    });
    await handle.writeFile(update(old));
    await handle.sync();
    await rename(temporary, file);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  } finally {
    await handle.close();
  }
}
