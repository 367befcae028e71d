import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { DaemonClient } from '../control/daemon-client.ts';
import type { DaemonStatus } from '../control/protocol.ts';
import { FuseError, UsageError } from '../errors.ts';

/** A daemon is there after a tenth of this, or never. */
const patienceMs = 30_000;
const lookAgainMs = 15;

/** As much of a log as is quoted. */
const quotedCharacters = 2000;

export interface StartDaemonOptions {
  readonly socket: string;
  /** The command of a daemon: a program and its arguments. */
  readonly command: readonly [program: string, ...args: string[]];
  /** Gets what the daemon says. Its folder is made. */
  readonly log: string;
}

/**
 * Finds the daemon at a socket, or starts one in the background. Of several that do this at once, all find the same.
 * @throws {FuseError} SLUICE_CONTROL_UNAVAILABLE when none comes up, quoting its log
 */
export async function ensureDaemon(
  options: StartDaemonOptions,
): Promise<{ readonly client: DaemonClient; readonly status: DaemonStatus }> {
  const client = new DaemonClient(options.socket);
  const status = (await client.status()) ?? (await start(client, options));
  return { client, status };
}

async function start(client: DaemonClient, { command, log }: StartDaemonOptions): Promise<DaemonStatus> {
  mkdirSync(path.dirname(log), { recursive: true, mode: 0o700 });
  const output = openSync(log, 'a', 0o600);
  const [program, ...args] = command;
  const child = spawn(program, args, { detached: true, stdio: ['ignore', 'ignore', output] });
  closeSync(output);
  const alreadyRuns = new UsageError('SLUICE_DAEMON_RUNS', '').exit;
  let isEnded = false;
  child.once('error', () => {
    isEnded = true;
  });
  child.once('exit', (code) => {
    // Somebody else has started one, which may take a moment to answer.
    isEnded = code !== alreadyRuns;
  });
  child.unref();
  for (const end = performance.now() + patienceMs; performance.now() < end && !isEnded; await sleep(lookAgainMs)) {
    const status = await client.status();
    if (status !== undefined) return status;
  }
  throw new FuseError(
    'SLUICE_CONTROL_UNAVAILABLE',
    `Cannot start a daemon at "${client.socket}"; its log "${log}" ends:\n${tailOf(log)}`,
  );
}

function tailOf(file: string): string {
  try {
    return readFileSync(file, 'utf8').slice(-quotedCharacters).trim();
  } catch {
    return '(it cannot be read)';
  }
}
