import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { DaemonClient } from '../control/daemon-client.ts';
import { isRefusal } from '../control/exchange.ts';
import type { DaemonStatus } from '../control/protocol.ts';
import { errorTable, FuseError } from '../errors.ts';

/** A daemon is there after a tenth of this, or never. */
const patienceMs = 30_000;
const lookAgainMs = 15;
/** Whoever holds the lock and does not answer is coming up, or about to end. */
const startAgainMs = 1000;

/** As much of a log as is quoted. */
const quotedCharacters = 2000;

export interface StartDaemonOptions {
  readonly socket: string;
  /** The command of a daemon: a program and its arguments, paths absolute. */
  readonly command: readonly [program: string, ...args: string[]];
  /** Gets what the daemon says. Its folder is made. */
  readonly log: string;
}

/** A daemon that answers. */
export interface FoundDaemon {
  readonly client: DaemonClient;
  readonly status: DaemonStatus;
}

/**
 * Finds the daemon at a socket, or starts one in the background. Of several that do this at once, all find the same.
 * @throws {FuseError} SLUICE_CONTROL_UNAVAILABLE when none comes up, quoting its log
 */
async function ensureDaemon(options: StartDaemonOptions): Promise<FoundDaemon> {
  const client = new DaemonClient(options.socket);
  for (const end = performance.now() + patienceMs; performance.now() < end; ) {
    const status = (await client.status()) ?? (await start(client, options, end));
    if (status !== undefined) return { client, status };
  }
  throw unavailable(options);
}

/**
 * Has a daemon do something; another one, when the one that was found takes no more requests.
 * @throws what ensureDaemon() throws, and `use`
 */
export async function withDaemon<Result>(
  options: StartDaemonOptions,
  use: (daemon: FoundDaemon) => Promise<Result>,
): Promise<Result> {
  for (const end = performance.now() + patienceMs; ; await sleep(lookAgainMs)) {
    try {
      return await use(await ensureDaemon(options));
    } catch (error) {
      if (!isRefusal(error) || performance.now() > end) throw error;
    }
  }
}

/**
 * Starts a daemon.
 * @param end - when to give up
 * @returns of the daemon that answers then, whoever started it; undefined when somebody else does, and is not done
 * @throws {FuseError} SLUICE_CONTROL_UNAVAILABLE
 */
async function start(
  client: DaemonClient,
  options: StartDaemonOptions,
  end: number,
): Promise<DaemonStatus | undefined> {
  let giveUp = end;
  let failed = false;
  spawnDaemon(options, (status) => {
    failed = status !== errorTable.SLUICE_DAEMON_RUNS.exit;
    giveUp = performance.now() + startAgainMs;
  });
  while (performance.now() < giveUp && !failed) {
    const status = await client.status();
    if (status !== undefined) return status;
    await sleep(lookAgainMs);
  }
  if (failed) throw unavailable(options);
  return undefined;
}

function spawnDaemon({ command: [program, ...args], log }: StartDaemonOptions, onEnd: (status: number) => void): void {
  mkdirSync(path.dirname(log), { recursive: true, mode: 0o700 });
  const output = openSync(log, 'a', 0o600);
  // Whoever starts it may want to unmount, or remove, the folder it is in.
  const child = spawn(program, args, { cwd: '/', detached: true, stdio: ['ignore', 'ignore', output] });
  closeSync(output);
  child.once('error', () => onEnd(-1)).once('exit', (status) => onEnd(status ?? -1));
  child.unref();
}

function unavailable({ socket, log }: StartDaemonOptions): FuseError {
  return new FuseError(
    'SLUICE_CONTROL_UNAVAILABLE',
    `Cannot start a daemon at "${socket}"; its log "${log}" ends:\n${tailOf(log)}`,
  );
}

function tailOf(file: string): string {
  try {
    return readFileSync(file, 'utf8').slice(-quotedCharacters).trim();
  } catch {
    return '(it cannot be read)';
  }
}
