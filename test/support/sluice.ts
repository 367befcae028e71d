import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, realpath } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ConvertSummary } from '../../src/convert/summary.ts';
import { eventually } from './process.ts';
import { withTemporaryDirectory } from './temporary.ts';

const command = fileURLToPath(new URL('../../bin/sluice.js', import.meta.url));

export interface SluiceOptions {
  /** Joins the environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Program that runs the command; default: the Node of the test. */
  readonly node?: string;
}

/** How the command ended: `status` is -1 when a signal ended it. */
export interface SluiceResult {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** The command, running. */
export class Sluice {
  readonly process: ChildProcess;
  readonly ended: Promise<SluiceResult>;
  #stdout = '';
  #stderr = '';

  /** @param args - of the command, without the program's name */
  constructor(args: readonly string[], { env, node = process.execPath }: SluiceOptions = {}) {
    this.process = spawn(node, [command, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...env },
    });
    this.process.stdout?.on('data', (chunk: Buffer) => {
      this.#stdout += chunk.toString();
    });
    this.process.stderr?.on('data', (chunk: Buffer) => {
      this.#stderr += chunk.toString();
    });
    this.ended = new Promise((resolve, reject) => {
      this.process.on('error', reject).on('close', (status) => {
        resolve({ status: status ?? -1, stdout: this.#stdout, stderr: this.#stderr });
      });
    });
  }
}

/** Runs the command to its end, however it ends. */
export function sluice(args: readonly string[], options: SluiceOptions = {}): Promise<SluiceResult> {
  return new Sluice(args, options).ended;
}

/**
 * Runs `sluice convert`.
 * @param args - source, destination and options but `--json`
 * @returns what `--json` prints
 * @throws Error with the command's complaint when it fails
 */
export async function convert(args: readonly string[], options: SluiceOptions = {}): Promise<ConvertSummary> {
  const { status, stdout, stderr } = await sluice(['convert', '--json', ...args], options);
  if (status !== 0) throw new Error(`Cannot convert ${args.join(' ')}: status ${status}: ${stderr}`);
  return JSON.parse(stdout) as ConvertSummary;
}

/** The code of the error that a run with `--json` ended with. */
export function errorCode({ stderr }: SluiceResult): string {
  return (JSON.parse(stderr) as { error: { code: string } }).error.code;
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/**
 * Runs `sluice mount`, and `sluice umount` when `use` is done; returns when the serving process has ended.
 * @param args - image and options, without the directory
 * @param use - is given the mount point, an absolute path
 */
export function withMount<Result>(
  args: readonly string[],
  use: (mounted: string) => Promise<Result> | Result,
  options: SluiceOptions = {},
): Promise<Result> {
  return withTemporaryDirectory(async (directory) => {
    const mounted = path.join(await realpath(directory), 'mnt');
    await mkdir(mounted);
    const { status, stdout, stderr } = await sluice(['mount', '--json', ...args, mounted], options);
    if (status !== 0) throw new Error(`Cannot mount ${args.join(' ')}: ${stderr}`);
    const { pid } = JSON.parse(stdout) as { pid: number };
    try {
      return await use(mounted);
    } finally {
      // Who read last may not have closed its files yet.
      await eventually(`${mounted} to be unmounted`, async () => {
        const end = await sluice(['umount', mounted], options);
        if (end.status !== 0) throw new Error(end.stderr);
        return true;
      });
      await eventually('the serving process to end', () => (isAlive(pid) ? undefined : true));
    }
  });
}
