import { readdirSync, readFileSync } from 'node:fs';
import { DaemonClient } from '../../src/control/daemon-client.ts';
import type { DaemonStatus } from '../../src/control/protocol.ts';
import { daemonSocket } from '../../src/control/socket-file.ts';
import { eventually } from './process.ts';
import { Sluice, type SluiceOptions, type SluiceResult } from './sluice.ts';

/** The processes that run `sluice daemon` for a cache: the holder and its daemon, or the daemon alone. */
export function daemonProcesses(cacheDirectory: string): number[] {
  const pids = readdirSync('/proc').map(Number).filter(Number.isInteger);
  return pids.filter((pid) => {
    try {
      const args = readFileSync(`/proc/${pid}/cmdline`, 'latin1').split('\0');
      return args.includes('daemon') && args.includes(cacheDirectory);
    } catch {
      return false;
    }
  });
}

/** `sluice daemon`, started by hand: it ends when it is told to. */
export class DaemonProcess {
  readonly socket: string;
  readonly client: DaemonClient;
  readonly #command: Sluice;

  private constructor(socket: string, command: Sluice) {
    this.socket = socket;
    this.client = new DaemonClient(socket);
    this.#command = command;
  }

  /** @returns answers already */
  static async start(
    cacheDirectory: string,
    args: readonly string[] = [],
    options?: SluiceOptions,
  ): Promise<DaemonProcess> {
    const command = new Sluice(['daemon', '--cache-dir', cacheDirectory, ...args], options);
    const named = args.indexOf('--socket');
    const socket = named < 0 ? daemonSocket(cacheDirectory) : (args[named + 1] ?? '');
    const daemon = new DaemonProcess(socket, command);
    await eventually('the daemon to answer', () => daemon.client.status());
    return daemon;
  }

  /** Of the process that was started: the holder, where there is one. */
  get pid(): number {
    return this.#command.process.pid ?? 0;
  }

  get ended(): Promise<SluiceResult> {
    return this.#command.ended;
  }

  async status(): Promise<DaemonStatus> {
    const status = await this.client.status();
    if (status === undefined) throw new Error('The daemon is gone');
    return status;
  }

  async stop(): Promise<SluiceResult> {
    this.#command.process.kill('SIGTERM');
    return await this.ended;
  }
}
