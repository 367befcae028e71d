import { mkdir, readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { FuseError } from '../../errors.ts';
import type { Lane, LaneContainer, LaneContext } from '../lane.ts';
import { clearFolder, mountsBelow } from './clear-folder.ts';
import { Containerd } from './containerd-daemon.ts';
import { Daemon } from './daemon.ts';
import { missingPrograms } from './program.ts';

/** A snapshotter of containerd that mounts layers over FUSE and reads them as they are needed. */
export interface LazySnapshotter {
  /** Of the lane. */
  readonly name: string;
  /** What containerd calls it. */
  readonly plugin: string;
  readonly daemon: string;
  /** Its client, which pulls, and converts. */
  readonly client: string;
  /** TOML. */
  readonly configuration: (registry: string, containerd: string) => string;
  /** The image of a workload in the registry, once it was converted: `HOST:PORT/REPOSITORY:TAG`. */
  readonly reference: (context: LaneContext) => string;
  /** Makes and pushes the image of reference() from `source`, which is in containerd's default snapshotter. */
  readonly convert: (containerd: Containerd, source: string, context: LaneContext) => Promise<void>;
}

/**
 * Containerd with a lazy snapshotter, both with their own stores and sockets: layers are mounted when `rpull` ends, and
 * what the container reads is fetched then; the rest arrives in the background where that is the snapshotter's default.
 */
export class SnapshotterLane implements Lane {
  readonly name: string;
  readonly #kind: LazySnapshotter;
  #folder: string | undefined;
  #containerd: Containerd | undefined;
  #daemon: Daemon | undefined;

  constructor(kind: LazySnapshotter) {
    this.name = kind.name;
    this.#kind = kind;
  }

  async unavailable(): Promise<string | undefined> {
    return missingPrograms('containerd', 'ctr', 'runc', this.#kind.daemon, this.#kind.client);
  }

  async prepare(context: LaneContext): Promise<void> {
    this.#folder = path.join(context.directory, 's');
    this.#containerd ??= new Containerd(
      path.join(context.directory, 'c'),
      proxyPlugin(this.#kind.plugin, this.#folder),
    );
    await this.wipe(context);
    const source = `${context.registry}/${context.repository}`;
    await this.#containerd.client('ctr', ['images', 'pull', '--plain-http', source], context.signal);
    await this.#kind.convert(this.#containerd, source, context);
  }

  async wipe(context: LaneContext): Promise<void> {
    await this.close();
    const folder = this.#folder ?? '';
    const [file, socket] = [path.join(folder, 'config.toml'), path.join(folder, 'socket')];
    await mkdir(folder, { recursive: true });
    await writeFile(file, this.#kind.configuration(context.registry, this.#containerd?.socket ?? ''));
    await this.#containerd?.start(context.signal);
    const args = ['-address', socket, '-config', file, '-root', path.join(folder, 'root'), '-log-level', 'warn'];
    this.#daemon = await Daemon.start(this.#kind.daemon, args, { signal: context.signal, socket });
  }

  async start(context: LaneContext): Promise<LaneContainer> {
    const started = performance.now();
    if (this.#containerd === undefined) throw new TypeError('start() before prepare()');
    const { client, plugin } = this.#kind;
    const reference = this.#kind.reference(context);
    const args = ['images', 'rpull', '--plain-http', '--snapshotter', plugin, reference];
    await this.#containerd.client(client, args, context.signal);
    const mountedMs = performance.now() - started;
    await this.#refuseFullPull();
    const container = await this.#containerd.run(context, {
      reference,
      snapshotter: plugin,
      pulledMs: undefined,
      mountedMs,
    });
    // Else the snapshotter goes on fetching in the background, and others' samples are of a link that is shared.
    const stop = (): Promise<void> => container.stop().finally(() => this.close());
    return { ...container, stop };
  }

  async close(): Promise<void> {
    await this.#containerd?.stop();
    await this.#daemon?.stop();
    this.#daemon = undefined;
    if (this.#folder !== undefined) await clearFolder(this.#folder);
  }

  /** A layer that cannot be had lazily is pulled and unpacked without a word; then it is a folder, and no FUSE mount. */
  async #refuseFullPull(): Promise<void> {
    const snapshots = path.join(this.#folder ?? '', 'root', 'snapshotter', 'snapshots');
    const layers = await readdir(snapshots);
    const lazy = mountsBelow(snapshots).filter(({ type }) => type.startsWith('fuse'));
    if (layers.length > 0 && lazy.length === layers.length) return;
    const count = `${layers.length - lazy.length} of ${layers.length} layers as a whole`;
    const why = this.#daemon?.log.trim();
    throw new FuseError('SLUICE_BENCH_FAILED', `Cannot start lazily: ${this.#kind.daemon} pulled ${count}: ${why}`);
  }
}

/** Snapshotters speak http to loopback addresses only, unless they are told so. */
export const plainHttpMirror = (registry: string): string =>
  [`[[resolver.host."${registry}".mirrors]]`, `host = "${registry}"`, 'insecure = true'].join('\n');

function proxyPlugin(plugin: string, folder: string): string {
  const address = path.join(folder, 'socket');
  return [`[proxy_plugins.${plugin}]`, 'type = "snapshot"', `address = "${address}"`].join('\n');
}
