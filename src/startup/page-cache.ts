import { execFile } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';

/** What else a start should have to read from the disk: files, names and attributes. Source: Linux, vm.rst. */
const everything = '3';

/**
 * Empties the page cache of this machine, as root; then reads what the registry holds: that is another machine's, with a
 * cache of its own.
 */
export async function dropPageCache(registryFolder: string): Promise<void> {
  await promisify(execFile)('sync');
  await writeFile('/proc/sys/vm/drop_caches', everything);
  for (const entry of await readdir(registryFolder, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) await readThrough(path.join(entry.parentPath, entry.name));
  }
}

async function readThrough(file: string): Promise<void> {
  const content = createReadStream(file, { highWaterMark: 1 << 20 });
  for await (const _piece of content);
}
