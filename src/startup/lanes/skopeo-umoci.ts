import path from 'node:path';
import type { Lane, LaneContainer, LaneContext } from '../lane.ts';
import { adaptBundle, fetchLayout, runBundle, unpackLayout } from './bundle.ts';
import { clearFolder } from './clear-folder.ts';
import { missingPrograms } from './program.ts';

/**
 * The three steps by three programs and no daemon: skopeo fetches into an OCI layout, umoci unpacks that, runc runs it.
 *
 * skopeo asks for https first, which costs it a connection more. What it remembers about blobs
 * (/var/lib/containers/cache) stays on the machine; it spares no download into an empty layout.
 */
export class SkopeoUmociLane implements Lane {
  readonly name = 'skopeo-umoci';
  #directory: string | undefined;

  async unavailable(): Promise<string | undefined> {
    return missingPrograms('skopeo', 'umoci', 'runc');
  }

  async prepare(context: LaneContext): Promise<void> {
    this.#directory = context.directory;
  }

  async wipe(context: LaneContext): Promise<void> {
    for (const name of ['layout', 'bundle']) await clearFolder(path.join(context.directory, name));
  }

  async start(context: LaneContext): Promise<LaneContainer> {
    const started = performance.now();
    const layout = path.join(context.directory, 'layout');
    const bundle = path.join(context.directory, 'bundle');
    await fetchLayout(context, layout);
    const pulledMs = performance.now() - started;
    await unpackLayout(layout, bundle, context.signal);
    const mountedMs = performance.now() - started;
    await adaptBundle(bundle, context.workload, 'rootfs');
    return runBundle(context, bundle, { pulledMs, mountedMs });
  }

  async close(): Promise<void> {
    if (this.#directory === undefined) return;
    for (const name of ['layout', 'bundle', 'runc']) await clearFolder(path.join(this.#directory, name));
  }
}
