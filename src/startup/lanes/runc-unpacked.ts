import path from 'node:path';
import type { Lane, LaneContainer, LaneContext } from '../lane.ts';
import { adaptBundle, fetchLayout, runBundle, unpackLayout } from './bundle.ts';
import { clearFolder } from './clear-folder.ts';
import { missingPrograms } from './program.ts';

/**
 * Plain `runc run` on an image that is already unpacked on the disk, and read from there: what a second start of an
 * image takes at best, and nothing of which goes over the link.
 */
export class RuncUnpackedLane implements Lane {
  readonly name = 'runc-unpacked';

  async unavailable(): Promise<string | undefined> {
    return missingPrograms('skopeo', 'umoci', 'runc');
  }

  async prepare(context: LaneContext): Promise<void> {
    const layout = path.join(context.directory, 'layout');
    await clearFolder(bundleOf(context));
    await fetchLayout(context, layout);
    await unpackLayout(layout, bundleOf(context), context.signal);
    await clearFolder(layout);
    await adaptBundle(bundleOf(context), context.workload, 'rootfs');
  }

  async wipe(): Promise<void> {
    // What it starts from stays; the caller drops the page cache.
  }

  async start(context: LaneContext): Promise<LaneContainer> {
    return runBundle(context, bundleOf(context), { pulledMs: 0, mountedMs: 0 });
  }

  async close(): Promise<void> {
    // Nothing runs; the folder is the caller's to remove.
  }
}

const bundleOf = ({ directory, workload }: LaneContext): string => path.join(directory, workload.name);
