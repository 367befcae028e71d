import path from 'node:path';
import type { Lane, LaneContainer, LaneContext } from '../lane.ts';
import { Containerd } from './containerd-daemon.ts';
import { missingPrograms } from './program.ts';

/** containerd's default: a folder a layer, joined by overlayfs. */
const snapshotter = 'overlayfs';

/**
 * The usual way of containerd: all layers are fetched, then unpacked, then the container runs. `ctr images pull` and
 * `ctr run` on the overlayfs snapshotter.
 */
export class ContainerdLane implements Lane {
  readonly name = 'containerd';
  #containerd: Containerd | undefined;

  async unavailable(): Promise<string | undefined> {
    return missingPrograms('containerd', 'ctr', 'runc');
  }

  async prepare(context: LaneContext): Promise<void> {
    this.#containerd ??= new Containerd(path.join(context.directory, 'c'));
  }

  async wipe(context: LaneContext): Promise<void> {
    await this.#containerd?.stop();
    await this.#containerd?.start(context.signal);
  }

  async start(context: LaneContext): Promise<LaneContainer> {
    const started = performance.now();
    if (this.#containerd === undefined) throw new TypeError('start() before prepare()');
    const reference = `${context.registry}/${context.repository}`;
    let pulledMs: number | undefined;
    const args = ['images', 'pull', '--plain-http', '--snapshotter', snapshotter, reference];
    await this.#containerd.client('ctr', args, context.signal, (line) => {
      if (line.startsWith('unpacking ')) pulledMs ??= performance.now() - started;
    });
    const mountedMs = performance.now() - started;
    return this.#containerd.run(context, { reference, snapshotter, pulledMs, mountedMs });
  }

  async close(): Promise<void> {
    await this.#containerd?.stop();
  }
}
