import { open, rename, rm } from 'node:fs/promises';

/**
 * Writes a file that is there as a whole or not at all, also after a crash: to another name, synced, renamed.
 *
 * @param temporary - a name on the same file system, not in use
 * @param pieces - not kept; when it throws, nothing is left behind
 * @param mode - permission bits
 */
export async function writeAtomically(
  file: string,
  temporary: string,
  pieces: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  mode: number,
  signal?: AbortSignal,
): Promise<void> {
  const handle = await open(temporary, 'wx', mode);
  try {
    for await (const piece of pieces) {
      signal?.throwIfAborted();
      await handle.writeFile(piece);
    }
    await handle.sync();
    await rename(temporary, file);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  } finally {
    await handle.close();
  }
}
