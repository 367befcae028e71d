import { type ChildProcess, spawn } from 'node:child_process';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { FuseError } from '../../errors.ts';
import { endProcess } from '../child.ts';
import { programEnvironment } from './program.ts';

/** How long a daemon may take until it answers, and how often it is asked, ms. */
const startMs = 30_000;
const askMs = 10;

/** How much of a daemon's complaints is kept for the error of its lane. */
const maximumLog = 4000;

export interface DaemonOptions {
  readonly signal: AbortSignal;
  /** Path of the unix socket it listens on. */
  readonly socket: string;
  readonly environment?: Readonly<Record<string, string>>;
}

/** A daemon of a lane's own, with a socket in the lane's folder. */
export class Daemon {
  readonly #process: ChildProcess;
  #log = '';

  private constructor(process: ChildProcess) {
    this.#process = process;
    process.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#log = (this.#log + text).slice(-maximumLog);
    });
    process.on('error', (error) => {
      this.#log += error.message;
    });
  }

  /**
   * Starts it and waits until it listens.
   * @throws {FuseError} SLUICE_BENCH_FAILED with the end of its log
   */
  static async start(program: string, args: readonly string[], options: DaemonOptions): Promise<Daemon> {
    const env = programEnvironment(options.environment);
    const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'], env });
    const daemon = new Daemon(child);
    const deadline = performance.now() + startMs;
    while (!(await listens(options.socket))) {
      if (
        child.pid === undefined ||
        child.exitCode !== null ||
        performance.now() > deadline ||
        options.signal.aborted
      ) {
        await daemon.stop();
        throw new FuseError(
          'SLUICE_BENCH_FAILED',
          `Cannot start ${program}: ${daemon.log.trim() || 'it does not answer'}`,
        );
      }
      await sleep(askMs);
    }
    return daemon;
  }

  /** The end of what it wrote to its standard error. */
  get log(): string {
    return this.#log;
  }

  /** Asks it to end, and waits for that. */
  async stop(): Promise<void> {
    await endProcess(this.#process);
  }
}

function listens(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const connection = connect(socket, () => {
      connection.destroy();
      resolve(true);
    });
    connection.on('error', () => resolve(false));
  });
}
