import { spawn } from 'node:child_process';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { FuseError } from '../../errors.ts';
import { findProgram, programFolders } from '../../runtime/find-program.ts';

/** How much of what a failed program wrote goes into the error: the end of it says why. */
const maximumMessage = 2000;

/** No program that prepares or removes something runs longer than this, ms: a tool that hangs ends its lane only. */
const maximumRunMs = 600_000;

export interface ProgramOptions {
  readonly signal: AbortSignal;
  /** On top of this process's own. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Called with each line of its standard output, when it is written. */
  readonly onLine?: (line: string) => void;
}

/** The environment of every program a lane starts. */
export function programEnvironment(environment: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv {
  return { ...process.env, PATH: programFolders.join(':'), LC_ALL: 'C', ...environment };
}

/** @returns which of `programs` are not installed, for {@link Lane.unavailable}; undefined when all are */
export function missingPrograms(...programs: readonly string[]): string | undefined {
  const missing = programs.filter((program) => findProgram(program) === undefined);
  if (missing.length === 0) return undefined;
  return `${missing.join(', ')} ${missing.length === 1 ? 'is' : 'are'} not installed`;
}

/**
 * Runs a program to its end, without a shell and with nothing on its standard input.
 * @throws {FuseError} SLUICE_BENCH_FAILED with the end of what it wrote, when its exit status is not 0
 */
export function runProgram(program: string, args: readonly string[], options: ProgramOptions): Promise<void> {
  const { onLine } = options;
  const child = spawn(program, args, {
    stdio: ['ignore', onLine ? 'pipe' : 'ignore', 'pipe'],
    env: programEnvironment(options.environment),
    signal: AbortSignal.any([options.signal, AbortSignal.timeout(maximumRunMs)]),
  });
  if (child.stdout && onLine) createInterface({ input: child.stdout }).on('line', onLine);
  let said = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-maximumMessage);
  });
  return new Promise((resolve, reject) => {
    child.on('error', (cause) => reject(programFailed(program, args, cause.message, cause)));
    child.on('close', (status, signal) => {
      if (status === 0) return resolve();
      reject(programFailed(program, args, `it ended with ${status ?? signal}: ${said.trim()}`));
    });
  });
}

/** Runs a program whose failure means that there is nothing to do: what it removes is not there. */
export async function tryProgram(program: string, args: readonly string[], options: ProgramOptions): Promise<void> {
  await runProgram(program, args, options).catch(() => undefined);
}

function programFailed(program: string, args: readonly string[], why: string, cause?: unknown): FuseError {
  const command = [path.basename(program), ...args].join(' ');
  return new FuseError('SLUICE_BENCH_FAILED', `Cannot run "${command}": ${why}`, { cause });
}
