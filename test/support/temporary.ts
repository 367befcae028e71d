import { mkdtempSync, realpathSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { expect } from 'vitest';
import { unmountBelow } from './mounts.ts';

/**
 * A fresh directory below os.tmpdir(), which must not be a tmpfs or overlay: the kernel refuses an EROFS image there.
 * The test run has its own TMPDIR (run-directory.ts), so what a crashed test leaves is found and removed at the end.
 * Its name begins with the test file's, so that a leak tells whose it is.
 * @returns its absolute path without symbolic links; remove it with {@link removeTemporaryDirectory}
 */
export function makeTemporaryDirectory(): string {
  const test = path.basename(expect.getState().testPath ?? 'test', '.test.ts');
  return mkdtempSync(path.join(realpathSync(os.tmpdir()), `${test}-`));
}

/** Unmounts everything below `directory`, then removes it; never waits for a FUSE server. */
export async function removeTemporaryDirectory(directory: string): Promise<void> {
  unmountBelow(directory);
  await rm(directory, { recursive: true, force: true });
}

/** Calls `use` with a fresh directory and removes it afterwards, also when `use` throws. */
export async function withTemporaryDirectory<Result>(
  use: (directory: string) => Promise<Result> | Result,
): Promise<Result> {
  const directory = makeTemporaryDirectory();
  try {
    return await use(directory);
  } finally {
    await removeTemporaryDirectory(directory);
  }
}
