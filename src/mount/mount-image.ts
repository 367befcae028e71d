import { Worker } from 'node:worker_threads';
import { FuseSession } from '../fuse/session.ts';
import type { UnmountOptions } from '../fuse/unmount.ts';
import type { HotWants } from '../hot/hot-wants.ts';
import { loadNative } from '../native.ts';
import { workerFile } from '../worker-file.ts';
import type { ImageViewDescriptor } from './image-view.ts';
import type { ServeMessage, WorkerMessage } from './messages.ts';
import { missChannels, type ReadFailed } from './miss-channels.ts';
import { Misses } from './misses.ts';
import { MountTrace } from './mount-trace.ts';
import type { MountWorkers } from './mount-workers.ts';
import type { ImageMountOptions, MountedImage } from './mounted-image.ts';
import type { PushTask } from './push-worker.ts';
import { holdReadahead } from './start-readahead.ts';

/** When a mount gets all of its workers: most starts are over then. */
const othersAfterMs = 1000;

/** An image that is mounted, served by worker threads of this process. */
export class ImageMount implements MountedImage {
  readonly mountPoint: string;
  readonly ended: Promise<void>;
  readonly trace: MountTrace;
  readonly #session: FuseSession;
  readonly #misses: Misses;

  private constructor(session: FuseSession, workers: MountWorkers, options: ImageMountOptions) {
    this.mountPoint = session.mountPoint;
    this.#session = session;
    this.#misses = new Misses(options, (failure) =>
      missChannels.failed.publish({ mountPoint: session.mountPoint, ...failure } satisfies ReadFailed),
    );
    this.trace = new MountTrace(session, options.bootstrap, options.hot?.wants);
    // What cannot be changed for the mount as it is can still be agreed on while it is made.
    const maximumReadahead = options.trace === true && !this.trace.start() ? 0 : undefined;
    const { hot } = options;
    const release = hot && holdReadahead(session.readahead, hot, () => this.#misses.count);
    const image = {
      bootstrap: options.bootstrap.share(),
      cache: options.devices.map((device) => device.view()),
      hot: hot?.descriptor,
    };
    const serve = (thread: Worker, fd: number): Promise<void> =>
      this.#start(thread, options, {
        fd,
        image,
        wants: hot?.wants.buffer,
        trace: this.trace.log.buffer,
        maximumReadahead,
      });
    const pushing = hot && pushPages(session.fd, image, hot.wants);
    const others: Promise<void>[] = [];
    const later = setTimeout(() => {
      const fd = (): number => (loadNative() === undefined ? session.fd : session.clone());
      others.push(...workers.startOthers().map((thread) => serve(thread, fd())));
    }, othersAfterMs).unref();
    this.ended = serve(workers.first, session.fd).then(async () => {
      clearTimeout(later);
      hot?.wants.close();
      await Promise.all([pushing, ...others]);
      release?.();
      this.#misses.abortAll();
      await this.trace.close();
      session.close();
    });
  }

  /**
   * Mounts an image. When this returns, the mount answers.
   * @throws {FuseError} SLUICE_MOUNT_FAILED, SLUICE_FUSE_UNAVAILABLE, SLUICE_NATIVE_MISSING
   */
  static async start(options: ImageMountOptions, workers: MountWorkers): Promise<ImageMount> {
    const session = await FuseSession.open(options);
    return new ImageMount(session, workers, options);
  }

  async unmount(options?: UnmountOptions): Promise<void> {
    await this.#session.unmount(options);
    if (options?.lazy !== true) await this.ended;
  }

  #start(thread: Worker, { onMiss }: ImageMountOptions, message: ServeMessage): Promise<void> {
    thread.on('message', (answer: WorkerMessage) => {
      if (answer.kind === 'interrupt') return this.#misses.interrupt(answer.unique);
      onMiss?.(answer);
      void this.#misses.answer(answer.fd, answer);
    });
    thread.postMessage(message);
    return new Promise((resolve, reject) => {
      thread.once('error', reject);
      thread.once('exit', () => resolve());
    });
  }
}

/** Has a thread put hot pages into the page cache until the mount has ended. Failing is not being quicker. */
function pushPages(fd: number, { bootstrap, hot }: ImageViewDescriptor, wants: HotWants): Promise<void> {
  const workerData: PushTask = { fd, image: { bootstrap, hot }, wants: wants.buffer };
  const worker = new Worker(workerFile('push-worker', import.meta.url), { workerData });
  return new Promise((resolve) => {
    worker.once('error', () => resolve()).once('exit', () => resolve());
  });
}
