import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';

/**
 * Runs a program to its end, with nothing on its standard input.
 * @returns what it wrote to its standard output
 * @throws Error with what it wrote to its standard error, when its exit status is not 0
 */
export async function runBytes(
  program: string,
  args: readonly string[],
  options: Omit<SpawnOptions, 'stdio'> = {},
): Promise<Buffer> {
  const child = spawn(program, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
  const output: Buffer[] = [];
  const complaint: Buffer[] = [];
  child.stdout?.on('data', (chunk: Buffer) => output.push(chunk));
  child.stderr?.on('data', (chunk: Buffer) => complaint.push(chunk));
  const end = await new Promise<number | string | null>((resolve, reject) => {
    child.on('error', reject).on('close', (status, signal) => resolve(status ?? signal));
  });
  if (end !== 0) {
    const said = Buffer.concat(complaint).toString().trim().slice(-4000);
    throw new Error(`Cannot run ${program} ${args.join(' ')}: it ended with ${end}: ${said}`);
  }
  return Buffer.concat(output);
}

/** {@link runBytes}, its output as text. */
export async function run(
  program: string,
  args: readonly string[],
  options: Omit<SpawnOptions, 'stdio'> = {},
): Promise<string> {
  return (await runBytes(program, args, options)).toString();
}

/** Waits for the process to end, having sent it `signal`, and SIGKILL when it has not ended after `graceMs`. */
export async function stopProcess(
  child: ChildProcess,
  signal: NodeJS.Signals = 'SIGTERM',
  graceMs = 5000,
): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  child.kill(signal);
  const killer = setTimeout(() => child.kill('SIGKILL'), graceMs);
  await ended;
  clearTimeout(killer);
}

/**
 * Tries until `attempt` returns something: for what other programs do in their own time and announce in no other way.
 * @throws Error naming `what` after `timeoutMs`, with the last failure of `attempt` as its cause
 */
export async function eventually<Result>(
  what: string,
  attempt: () => Promise<Result | undefined> | Result | undefined,
  timeoutMs = 20_000,
): Promise<Result> {
  const end = Date.now() + timeoutMs;
  let cause: unknown;
  while (Date.now() < end) {
    try {
      const result = await attempt();
      if (result !== undefined) return result;
    } catch (error) {
      cause = error;
    }
    await delay(20);
  }
  throw new Error(`Waited ${timeoutMs} ms in vain for ${what}`, { cause });
}
