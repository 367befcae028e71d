import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { workerFile } from '../worker-file.ts';

/** More workers than this never made a mount faster on the machines measured: the kernel hands out the requests. */
const maximumWorkers = 4;

/** Worker threads on their way up: started early, so that they are ready when the bootstrap is. */
export class MountWorkers {
  readonly threads: readonly Worker[];

  /** @param count - without the addon, one serves the mount's only descriptor as well as many */
  constructor(count: number = Math.min(availableParallelism(), maximumWorkers)) {
    const file = workerFile('serve-worker', import.meta.url);
    this.threads = Array.from({ length: count }, () => new Worker(file));
  }

  /** For workers that never got a mount: one that serves cannot be terminated. */
  async terminate(): Promise<void> {
    await Promise.all(this.threads.map((thread) => thread.terminate()));
  }
}
