import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Lane, LaneContainer, LaneContext } from '../lane.ts';
import { clearFolder } from './clear-folder.ts';
import { newContainerName, startContainer } from './container.ts';
import { missingPrograms, tryProgram } from './program.ts';

/** Every place podman would write to, below one folder. Source: containers.conf(5), containers-storage.conf(5). */
function configuration(folder: string): Readonly<Record<string, string>> {
  const place = (name: string): string => JSON.stringify(path.join(folder, name));
  return {
    'containers.conf': [
      '[engine]',
      'runtime = "runc"',
      // systemd's is not there on every machine; runc makes and removes the control groups itself.
      'cgroup_manager = "cgroupfs"',
      'events_logger = "none"',
      // The default are locks in shared memory, one set for the whole machine.
      'lock_type = "file"',
      `tmp_dir = ${place('tmp')}`,
      '[network]',
      `network_config_dir = ${place('networks')}`,
    ].join('\n'),
    'storage.conf': [
      '[storage]',
      'driver = "overlay"',
      `graphroot = ${place('root')}`,
      `runroot = ${place('run')}`,
    ].join('\n'),
  };
}

/**
 * podman asks for more open files and processes than a machine may allow even root, and fails: it gets what this process
 * may have; of processes no more than there are numbers, to which podman limits itself.
 * Source: proc(5), /proc/pid/limits and /proc/sys/kernel/pid_max.
 */
async function limits(): Promise<string[]> {
  const text = await readFile('/proc/self/limits', 'utf8');
  const hardLimit = (name: string): number =>
    Number(new RegExp(`^${name}\\s+\\S+\\s+(\\d+)`, 'm').exec(text)?.[1] ?? Infinity);
  const processes = Math.min(hardLimit('Max processes'), Number(await readFile('/proc/sys/kernel/pid_max', 'utf8')));
  const files = hardLimit('Max open files');
  return [
    '--ulimit',
    `nproc=${processes}:${processes}`,
    ...(Number.isFinite(files) ? ['--ulimit', `nofile=${files}:${files}`] : []),
  ];
}

/**
 * podman with a store of its own; of the machine's it uses runc's state alone. One `podman run` pulls, unpacks each layer
 * when it has arrived, and starts the container with runc: it does not tell the steps apart. It asks for https before it
 * asks for http, which costs it a connection more.
 */
export class PodmanLane implements Lane {
  readonly name = 'podman';
  #folder: string | undefined;

  async unavailable(): Promise<string | undefined> {
    return missingPrograms('podman', 'conmon', 'runc');
  }

  async prepare(context: LaneContext): Promise<void> {
    this.#folder = path.join(context.directory, 'p');
  }

  async wipe(context: LaneContext): Promise<void> {
    await this.close();
    this.#folder = path.join(context.directory, 'p');
    await mkdir(this.#folder, { recursive: true });
    for (const [name, text] of Object.entries(configuration(this.#folder))) {
      await writeFile(path.join(this.#folder, name), text);
    }
  }

  async start({ workload, registry, repository }: LaneContext): Promise<LaneContainer> {
    const folder = this.#folder ?? '';
    const name = newContainerName();
    const command = workload.command ? ['--entrypoint', JSON.stringify(workload.command)] : [];
    const variables = Object.entries(workload.environment).flatMap(([key, value]) => ['--env', `${key}=${value}`]);
    const run = ['run', '--quiet', '--rm', '--name', name, '--tls-verify=false', '--network', 'host'];
    const environment = {
      CONTAINERS_CONF: path.join(folder, 'containers.conf'),
      CONTAINERS_STORAGE_CONF: path.join(folder, 'storage.conf'),
      TMPDIR: folder,
    };
    // A control group of its own at the root: those podman would put around it stay when the container is gone.
    const groups = ['--cgroups', 'no-conmon', '--cgroup-parent', '/'];
    const options = [...(await limits()), ...command, ...variables];
    const removal = ['rm', '--force', '--time', '0', '--ignore', name];
    const remove = (signal: AbortSignal): Promise<void> => tryProgram('podman', removal, { signal, environment });
    return startContainer({
      program: 'podman',
      args: [...run, ...groups, ...options, `${registry}/${repository}`],
      environment,
      pulledMs: undefined,
      mountedMs: undefined,
      kill: remove,
      remove,
    });
  }

  async close(): Promise<void> {
    if (this.#folder !== undefined) await clearFolder(this.#folder);
  }
}
