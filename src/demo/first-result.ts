import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import type { SampleStart } from './sample-image.ts';

const run = promisify(execFile);

/** A file system that nobody serves any more would be waited for without an end. */
const limits = { timeout: 60_000, killSignal: 'SIGKILL' } as const;

/**
 * Starts the sample's program on a root file system: in it, as root; else by its path, with the libraries that stand
 * there.
 *
 * Programs of this machine stand in front (`chroot`, `env`), because execve(2) of a file on a mount that this process
 * serves would wait for this process, which waits for execve.
 * @returns what it printed
 */
export async function firstResult(root: string, start: SampleStart, signal: AbortSignal): Promise<string> {
  const tools = [process.env.PATH, '/usr/sbin', '/sbin'].join(':');
  const below = (file: string): string => path.join(root, file);
  if (process.geteuid?.() === 0) {
    const args = [root, start.program, start.script];
    return (await run('chroot', args, { ...limits, env: { PATH: tools }, signal })).stdout.trim();
  }
  const libraries = [...new Set(start.libraries.map((file) => path.dirname(below(file))))].join(':');
  const args = [`LD_LIBRARY_PATH=${libraries}`, below(start.program), below(start.script)];
  return (await run('env', args, { ...limits, env: { PATH: tools }, signal })).stdout.trim();
}
