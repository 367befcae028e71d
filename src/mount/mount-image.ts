import { Worker } from 'node:worker_threads';
import type { Bootstrap } from '../bootstrap/bootstrap.ts';
import { resend } from '../fuse/device.ts';
import { FuseSession } from '../fuse/session.ts';
import type { UnmountOptions } from '../fuse/unmount.ts';
import type { HotWants } from '../hot/hot-wants.ts';
import { loadNative } from '../native.ts';
import { workerFile } from '../worker-file.ts';
import type { ImageViewDescriptor } from './image-view.ts';
import { Misses } from './misses.ts';
import { MountTrace } from './mount-trace.ts';
import type { MountWorkers } from './mount-workers.ts';
import type { ImageMountOptions, MountedImage } from './mounted-image.ts';
import type { PushTask } from './push-worker.ts';
import { ReadCounters } from './read-counters.ts';
import { holdReadahead } from './start-readahead.ts';

/** Numbers of images, for threads to tell them apart. */
const imageIds = new WeakMap<Bootstrap, number>();
let lastImageId = 0;

/** An image that is mounted, served by the threads of this process. */
export class ImageMount implements MountedImage {
  readonly mountPoint: string;
  readonly ended: Promise<void>;
  readonly trace: MountTrace;
  readonly reads: ReadCounters = new ReadCounters();
  readonly release: (() => Promise<void>) | undefined;
  readonly #session: FuseSession;
  readonly #workers: MountWorkers;
  readonly #misses: Misses;
  #isReleased = false;

  private constructor(session: FuseSession, workers: MountWorkers, options: ImageMountOptions) {
    this.mountPoint = session.mountPoint;
    this.#session = session;
    this.#workers = workers;
    this.#misses = new Misses(options, (failure) => options.onReadFailed?.(failure));
    this.trace = new MountTrace(session, options.bootstrap, options.hot?.wants);
    // A thread of a single mount waits in read(2), where it cannot be told.
    this.release = loadNative() && (() => this.#release());
    this.ended = this.#serve(options);
  }

  /**
   * Mounts an image, or serves one that is mounted. When this returns, the mount answers.
   * @param workers - stay the caller's: they may serve other mounts
   * @throws {FuseError} SLUICE_MOUNT_FAILED, SLUICE_FUSE_UNAVAILABLE, SLUICE_NATIVE_MISSING
   */
  static async start(options: ImageMountOptions, workers: MountWorkers): Promise<ImageMount> {
    const { adopt, mountPoint } = options;
    const session = adopt === undefined ? await FuseSession.open(options) : FuseSession.adopt(mountPoint, adopt.fd);
    const mount = new ImageMount(session, workers, options);
    if (adopt !== undefined && session.resends) resend(adopt.fd);
    return mount;
  }

  get fd(): number {
    return this.#session.fd;
  }

  waiting(): { readonly reads: number; readonly since: number | undefined } {
    return this.#misses.waiting();
  }

  async unmount(options?: UnmountOptions): Promise<void> {
    await this.#session.unmount(options);
    if (options?.lazy !== true) await this.ended;
  }

  async #release(): Promise<void> {
    const { resends, served } = this.#session;
    this.#isReleased = true;
    if (resends) this.#misses.dropAll();
    this.#workers.release(served);
    await this.ended;
  }

  async #serve(options: ImageMountOptions): Promise<void> {
    const { hot, onMiss } = options;
    const { served: fd, readahead } = this.#session;
    // What cannot be changed for the mount as it is can still be agreed on while it is made.
    const maximumReadahead = options.trace === true && !this.trace.start() ? 0 : undefined;
    const endHold = hot && holdReadahead(readahead, hot, () => this.#misses.count);
    const image = imageOf(options);
    const [wants, trace, counters] = [hot?.wants.buffer, this.trace.log.buffer, this.reads.buffer];
    const serving = this.#workers.serve(
      { fd, image, wants, trace, counters, maximumReadahead },
      {
        interrupt: (unique) => this.#misses.interrupt(unique),
        miss: (miss) => {
          onMiss?.(miss);
          void this.#misses.answer(fd, miss);
        },
      },
    );
    const pushing = hot && pushPages(fd, image, hot.wants);
    try {
      await serving;
    } finally {
      hot?.wants.close();
      endHold?.();
      if (!this.#isReleased) this.#misses.abortAll();
      // Each writes to the descriptor, whose number may soon be another file's.
      await Promise.all([this.#misses.settled(), pushing, this.trace.close()]);
      this.#session.close();
    }
  }
}

function imageOf({ bootstrap, devices, hot }: ImageMountOptions): ImageViewDescriptor {
  const id = imageIds.get(bootstrap) ?? ++lastImageId;
  imageIds.set(bootstrap, id);
  return { id, bootstrap: bootstrap.share(), cache: devices.map((device) => device.view()), hot: hot?.descriptor };
}

/** Has a thread put hot pages into the page cache until the mount has ended. Failing is not being quicker. */
function pushPages(fd: number, image: ImageViewDescriptor, wants: HotWants): Promise<void> {
  const workerData: PushTask = { fd, image, wants: wants.buffer };
  const worker = new Worker(workerFile('push-worker', import.meta.url), { workerData });
  return new Promise((resolve) => {
    worker.once('error', () => resolve()).once('exit', () => resolve());
  });
}
