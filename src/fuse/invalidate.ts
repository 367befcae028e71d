import { Worker } from 'node:worker_threads';
import { workerFile } from '../worker-file.ts';

/** What the thread is given. */
export interface Invalidation {
  /** /dev/fuse, mounted. */
  readonly fd: number;
  readonly nodeids: Float64Array;
}

/**
 * Has the kernel drop what it cached of the content of inodes, mapped pages too; whoever reads it again asks again.
 *
 * The kernel waits for reads of such pages that are under way, whose answers this thread may owe it: another one calls.
 *
 * @param fd - /dev/fuse, mounted; in use until this settles
 */
export async function invalidateContents(fd: number, nodeids: Float64Array): Promise<void> {
  const workerData: Invalidation = { fd, nodeids };
  const worker = new Worker(workerFile('invalidate-worker', import.meta.url), { workerData });
  await new Promise<void>((resolve, reject) => worker.once('error', reject).once('exit', () => resolve()));
}
