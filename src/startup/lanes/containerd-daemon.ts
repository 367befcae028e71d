import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { LaneContainer, LaneContext } from '../lane.ts';
import { clearFolder } from './clear-folder.ts';
import { newContainerName, startContainer } from './container.ts';
import { Daemon } from './daemon.ts';
import { runProgram, tryProgram } from './program.ts';

/** Where a container's image is by then, and since when. */
export interface ContainerdImage {
  readonly reference: string;
  readonly snapshotter: string;
  /** As in {@link LaneContainer}. */
  readonly pulledMs: number | undefined;
  readonly mountedMs: number | undefined;
}

/**
 * A containerd of a lane's own: root, state and sockets are in one folder, so that one which runs on the machine is not
 * touched. Only the shims' sockets are where they always are, in /run/containerd/s.
 */
export class Containerd {
  readonly #folder: string;
  readonly #plugins: string;
  #daemon: Daemon | undefined;

  /**
   * @param folder - made by start(), removed by stop()
   * @param plugins - TOML, put at the end of the configuration: proxy plugins
   */
  constructor(folder: string, plugins = '') {
    this.#folder = folder;
    this.#plugins = plugins;
  }

  /** Starts it with an empty store. */
  async start(signal: AbortSignal): Promise<void> {
    const part = (name: string): string => path.join(this.#folder, name);
    const config = [
      'version = 2',
      `root = "${part('root')}"`,
      `state = "${part('state')}"`,
      'disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]',
      '[grpc]',
      `address = "${this.socket}"`,
      '[ttrpc]',
      `address = "${part('ttrpc')}"`,
      this.#plugins,
    ];
    await mkdir(part('root'), { recursive: true });
    await writeFile(part('config.toml'), config.join('\n'));
    const args = ['--config', part('config.toml'), '--log-level', 'error'];
    this.#daemon = await Daemon.start('containerd', args, { signal, socket: this.socket });
  }

  /** Ends it and removes all it stored; does nothing when it was not started. */
  async stop(): Promise<void> {
    await this.#daemon?.stop();
    this.#daemon = undefined;
    await clearFolder(this.#folder);
  }

  /** Runs one of its clients to its end: `ctr`, `ctr-remote`. */
  async client(
    program: string,
    args: readonly string[],
    signal: AbortSignal,
    onLine?: (line: string) => void,
  ): Promise<void> {
    await runProgram(program, ['--address', this.socket, ...args], { signal, ...(onLine ? { onLine } : {}) });
  }

  /** Runs the workload on an image that is there. */
  run({ workload }: LaneContext, image: ContainerdImage): LaneContainer {
    const name = newContainerName();
    const ctr = (...args: readonly string[]): string[] => ['--address', this.socket, ...args];
    const forget = (args: readonly string[], signal: AbortSignal): Promise<void> =>
      tryProgram('ctr', ctr(...args), { signal });
    const places = ['--fifo-dir', path.join(this.#folder, 'fifo'), '--runc-root', path.join(this.#folder, 'runc')];
    // A control group of its own at the root: with it goes everything, while the default has a parent that stays.
    const isolation = ['--net-host', '--cgroup', `/${name}`];
    const environment = Object.entries(workload.environment).flatMap(([key, value]) => ['--env', `${key}=${value}`]);
    const options = ['--rm', '--snapshotter', image.snapshotter, ...isolation, ...places, ...environment];
    return startContainer({
      program: 'ctr',
      args: ctr('run', ...options, image.reference, name, ...(workload.command ?? [])),
      pulledMs: image.pulledMs,
      mountedMs: image.mountedMs,
      kill: (signal) => forget(['tasks', 'kill', '--signal', 'SIGKILL', name], signal),
      remove: async (signal) => {
        await forget(['tasks', 'delete', '--force', name], signal);
        await forget(['containers', 'delete', name], signal);
      },
    });
  }

  /** What its clients connect to. */
  get socket(): string {
    return path.join(this.#folder, 'socket');
  }
}
