import { mkdir, readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { FuseError } from '../../errors.ts';
import type { Lane, LaneContainer, LaneContext } from '../lane.ts';
import { clearFolder, mountsBelow } from './clear-folder.ts';
import { Containerd } from './containerd-daemon.ts';
import { Daemon } from './daemon.ts';
import { missingPrograms } from './program.ts';

const snapshotter = 'stargz';
const program = 'containerd-stargz-grpc';

/** How long the workload is watched when it does not end by itself, seconds; ctr-remote's own default. */
const tracePeriod = 10;

/** The snapshotter speaks http to loopback addresses only, unless it is told so. */
const configuration = (registry: string): string =>
  [`[[resolver.host."${registry}".mirrors]]`, `host = "${registry}"`, 'insecure = true'].join('\n');

/**
 * eStargz by containerd and its stargz snapshotter: layers are mounted over FUSE and read as they are needed, while the
 * rest of them arrives in the background (the snapshotter's defaults).
 *
 * prepare() converts the image with `ctr-remote images optimize`: untraced (`--no-optimize`), or traced, with the files
 * first that the workload read when ctr-remote ran it.
 */
export class EstargzLane implements Lane {
  readonly name: string;
  readonly #traced: boolean;
  #folder: string | undefined;
  #containerd: Containerd | undefined;
  #snapshotter: Daemon | undefined;

  constructor(traced: boolean) {
    this.name = traced ? 'estargz' : 'estargz-untraced';
    this.#traced = traced;
  }

  async unavailable(): Promise<string | undefined> {
    return missingPrograms('containerd', 'ctr', 'ctr-remote', program, 'runc');
  }

  async prepare(context: LaneContext): Promise<void> {
    const { signal, workload } = context;
    this.#folder = path.join(context.directory, 's');
    this.#containerd ??= new Containerd(path.join(context.directory, 'c'), proxyPlugin(this.#folder));
    await this.wipe(context);
    const source = `${context.registry}/${context.repository}`;
    await this.#containerd.client('ctr', ['images', 'pull', '--plain-http', source], signal);
    const trace = ['--net-host', '--period', `${tracePeriod}`];
    if (workload.command) trace.push('--entrypoint', JSON.stringify(workload.command), '--args', '[]');
    for (const [name, value] of Object.entries(workload.environment)) trace.push('--env', `${name}=${value}`);
    const options = this.#traced ? trace : ['--no-optimize'];
    const target = this.#reference(context);
    await this.#containerd.client('ctr-remote', ['images', 'optimize', '--oci', ...options, source, target], signal);
    await this.#containerd.client('ctr-remote', ['images', 'push', '--plain-http', target], signal);
  }

  async wipe(context: LaneContext): Promise<void> {
    await this.close();
    const folder = this.#folder ?? '';
    await mkdir(folder, { recursive: true });
    const file = path.join(folder, 'config.toml');
    await writeFile(file, configuration(context.registry));
    const socket = path.join(folder, 'socket');
    const args = ['-address', socket, '-config', file, '-root', path.join(folder, 'root'), '-log-level', 'warn'];
    this.#snapshotter = await Daemon.start(program, args, { signal: context.signal, socket });
    await this.#containerd?.start(context.signal);
  }

  async start(context: LaneContext): Promise<LaneContainer> {
    const started = performance.now();
    if (this.#containerd === undefined) throw new TypeError('start() before prepare()');
    const reference = this.#reference(context);
    const args = ['images', 'rpull', '--plain-http', '--snapshotter', snapshotter, reference];
    await this.#containerd.client('ctr-remote', args, context.signal);
    const mountedMs = performance.now() - started;
    await this.#refuseFullPull();
    return this.#containerd.run(context, { reference, snapshotter, pulledMs: undefined, mountedMs });
  }

  async close(): Promise<void> {
    await this.#containerd?.stop();
    await this.#snapshotter?.stop();
    this.#snapshotter = undefined;
    if (this.#folder !== undefined) await clearFolder(this.#folder);
  }

  /** A layer that cannot be had lazily is pulled and unpacked without a word; then it is a folder, and no FUSE mount. */
  async #refuseFullPull(): Promise<void> {
    const snapshots = path.join(this.#folder ?? '', 'root', 'snapshotter', 'snapshots');
    const layers = await readdir(snapshots);
    const lazy = mountsBelow(snapshots).filter(({ type }) => type.startsWith('fuse'));
    if (layers.length > 0 && lazy.length === layers.length) return;
    const count = `${layers.length - lazy.length} of ${layers.length} layers`;
    const log = this.#snapshotter?.log.trim();
    throw new FuseError('SLUICE_BENCH_FAILED', `Cannot start lazily: ${program} pulled ${count} as a whole: ${log}`);
  }

  #reference({ registry, repository, workload }: LaneContext): string {
    return `${registry}/${repository}-${this.name}-${workload.name}`;
  }
}

function proxyPlugin(folder: string): string {
  const address = path.join(folder, 'socket');
  return [`[proxy_plugins.${snapshotter}]`, 'type = "snapshot"', `address = "${address}"`].join('\n');
}
