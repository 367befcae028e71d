import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { eventually, run, stopProcess } from './process.ts';
import { makeTemporaryDirectory, removeTemporaryDirectory } from './temporary.ts';

/** A containerd of our own: private root, state and socket, nothing shared with one that runs on the machine. */
export class Containerd {
  readonly #directory: string;
  readonly #process: ChildProcess;

  private constructor(directory: string, process: ChildProcess) {
    this.#directory = directory;
    this.#process = process;
  }

  /**
   * @param extraConfig - TOML, put at the end of the configuration: proxy plugins
   */
  static async start(extraConfig = ''): Promise<Containerd> {
    const directory = makeTemporaryDirectory();
    await mkdir(path.join(directory, 'root'));
    const config = [
      'version = 2',
      `root = "${directory}/root"`,
      `state = "${directory}/state"`,
      'disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]',
      '[grpc]',
      `address = "${directory}/socket"`,
      '[ttrpc]',
      `address = "${directory}/ttrpc"`,
      extraConfig,
    ];
    await writeFile(`${directory}/config.toml`, config.join('\n'));
    const child = spawn('containerd', ['--config', `${directory}/config.toml`, '--log-level', 'error'], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    const containerd = new Containerd(directory, child);
    try {
      await eventually('containerd to answer', () => containerd.ctr('version'));
    } catch (error) {
      await containerd.stop();
      throw error;
    }
    return containerd;
  }

  /** Its socket. */
  get address(): string {
    return path.join(this.#directory, 'socket');
  }

  /** Runs ctr(1) on it; returns what it prints. */
  ctr(...args: readonly string[]): Promise<string> {
    return run('ctr', ['--address', this.address, ...args]);
  }

  /** Ends it and removes all it stored. */
  async stop(): Promise<void> {
    await stopProcess(this.#process);
    await removeTemporaryDirectory(this.#directory);
  }
}
