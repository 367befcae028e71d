import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { constants } from 'node:os';
import { createInterface } from 'node:readline';
import { PassThrough } from 'node:stream';

/** How long a process may take to end when it is asked to, before it is killed, ms. */
const graceMs = 5000;

/** Ends a process of ours and waits for that; one that does not listen is killed. Does nothing when it has ended. */
export async function endProcess(child: ChildProcess, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  child.kill(signal);
  const killer = setTimeout(() => child.kill('SIGKILL'), graceMs);
  await ended;
  clearTimeout(killer);
}

/** A program in the foreground: what it writes, line by line, and how it ends. */
export interface Program {
  readonly process: ChildProcess;
  /** Both streams. */
  readonly lines: AsyncIterable<string>;
  /** Its exit status; 128 and the signal's number when one killed it, 127 when it could not be started. */
  readonly ended: Promise<number>;
}

/** Starts a program with nothing on its standard input. */
export function startProgram(words: readonly string[], options: Omit<SpawnOptions, 'stdio'> = {}): Program {
  const [program = '', ...args] = words;
  const child = spawn(program, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
  const lines = new PassThrough({ objectMode: true });
  const ended = new Promise<number>((resolve) => {
    child.on('error', (error) => {
      lines.end(error.message);
      resolve(127);
    });
    child.on('close', (status, signal) => {
      lines.end();
      resolve(status ?? 128 + (signal === null ? 0 : constants.signals[signal]));
    });
  });
  for (const stream of [child.stdout, child.stderr]) {
    if (stream) createInterface({ input: stream }).on('line', (line) => lines.write(line));
  }
  return { process: child, lines, ended };
}
