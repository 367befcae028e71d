import { mkdtempSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { type Mount, mounts, unmountBelow } from './mounts.ts';

const ours = /^(fuse\.sluice|erofs)$/;
const key = ({ type, target }: Mount): string => `${type} at ${target}`;

/** Reads a file of /proc/PID; empty when the process is gone. */
function processFile(pid: number, name: string): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'latin1');
  } catch {
    return '';
  }
}

/** Parent of a process (proc_pid_stat(5)): the second field after the name, which stands in brackets; 0 when gone. */
function parentOf(pid: number): number {
  const status = processFile(pid, 'stat');
  return Number(status.slice(status.lastIndexOf(')') + 2).split(' ')[1] ?? 0);
}

function descendsFromHere(pid: number): boolean {
  for (let at = pid; at > 1; at = parentOf(at)) if (at === process.pid) return true;
  return false;
}

/** Processes that were started with this run's TMPDIR and have outlived whoever started them. */
function orphans(directory: string): number[] {
  const pids = readdirSync('/proc').map(Number).filter(Number.isInteger);
  const mark = `TMPDIR=${directory}`;
  return pids.filter((pid) => processFile(pid, 'environ').split('\0').includes(mark) && !descendsFromHere(pid));
}

/**
 * The TMPDIR of one test run, and the guard against what tests leave behind: mounts, processes and files.
 */
export class RunDirectory {
  readonly #path = mkdtempSync(path.join(realpathSync(os.tmpdir()), 'sluice-'));
  readonly #mountsBefore = new Set(mounts().map(key));

  /** Makes it the temporary directory of every process started from here on. */
  enter(): void {
    process.env.TMPDIR = this.#path;
  }

  /**
   * Removes everything a test left behind.
   * @returns what it was, a line each: mounts and processes. Files alone are no fault.
   */
  async clean(): Promise<string[]> {
    const leaks: string[] = [];
    for (const pid of orphans(this.#path)) {
      leaks.push(`process ${pid}: ${processFile(pid, 'cmdline').replaceAll('\0', ' ').trim()}`);
      process.kill(pid, 'SIGKILL');
    }
    leaks.push(...unmountBelow(this.#path).map((mount) => `mount of ${key(mount)}`));
    // Elsewhere it may be somebody else's, of another run on this machine: CI has one run alone.
    const elsewhere = mounts().filter((mount) => ours.test(mount.type) && !this.#mountsBefore.has(key(mount)));
    if (process.env.CI) leaks.push(...elsewhere.map((mount) => `mount of ${key(mount)}`));
    await rm(this.#path, { recursive: true, force: true });
    return leaks;
  }
}
