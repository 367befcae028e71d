import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { workerFile } from '../worker-file.ts';

/** More workers than this never made a mount faster on the machines measured: the kernel hands out the requests. */
const maximumWorkers = 4;

/**
 * Worker threads of one mount. The first is on its way up at once, so that it is ready when the bootstrap is. The others
 * come when the mount has been there for a while: a start is served by one as quickly, and each takes 30 ms of CPU to
 * come up, when there is none to spare. Measured with python's start on two cores: 800 ms with two from the beginning,
 * 690 with one.
 */
export class MountWorkers {
  readonly first: Worker;
  readonly #file = workerFile('serve-worker', import.meta.url);
  readonly #count: number;

  /** @param count - without the addon, one serves the mount's only descriptor as well as many */
  constructor(count: number = Math.min(availableParallelism(), maximumWorkers)) {
    this.first = new Worker(this.#file);
    this.#count = count;
  }

  /** Starts the others, the caller's from now on. */
  startOthers(): Worker[] {
    return Array.from({ length: this.#count - 1 }, () => new Worker(this.#file));
  }

  /** For workers that never got a mount: one that serves cannot be terminated. */
  async terminate(): Promise<void> {
    await this.first.terminate();
  }
}
