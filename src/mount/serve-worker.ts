import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { serve } from '../fuse/serve.ts';
import { ManyMounts } from '../fuse/serve-many.ts';
import { loadNative } from '../native.ts';
import type { FromThread, MountTask, ToThread } from './messages.ts';
import { ThreadImages } from './served-mount.ts';

/** What a thread is given. */
export interface ThreadStart {
  /** Its number. */
  readonly thread: number;
  /** Where {@link ToThread} comes from. */
  readonly port: MessagePort;
  /** Wakes the thread; undefined for one that serves a single mount, and ends with it. */
  readonly control: number | undefined;
}

/**
 * A thread that serves mounts. It is started before there is anything to mount, so that loading it costs no time later.
 * Serving, it blocks: it has no event loop, and takes its messages when it is woken.
 */
const { thread, port, control } = workerData as ThreadStart;
if (parentPort === null) throw new Error('Cannot run: this file is started as a worker thread');
const parent = parentPort;
const images = new ThreadImages(thread, (message) => parent.postMessage(message));
const ended = (task: MountTask): void => {
  images.close(task);
  parent.postMessage({ kind: 'ended', fd: task.fd } satisfies FromThread);
};

if (control === undefined) {
  port.once('message', (message: ToThread) => {
    port.close();
    if (message.kind === 'serve') serveOne(message.task);
  });
} else {
  serveMany(control);
}

function serveOne(task: MountTask): void {
  try {
    serve(task.fd, images.open(task));
  } finally {
    ended(task);
  }
}

function serveMany(wakes: number): void {
  const native = loadNative();
  if (native === undefined) throw new Error('Cannot serve many mounts without the native addon');
  const tasks = new Map<number, MountTask>();
  const end = (fd: number): void => {
    const task = tasks.get(fd);
    tasks.delete(fd);
    if (task !== undefined) ended(task);
  };
  const act = (message: ToThread, mounts: ManyMounts): boolean => {
    if (message.kind === 'close') return false;
    if (message.kind === 'release') {
      mounts.remove(message.fd);
      end(message.fd);
    } else {
      tasks.set(message.task.fd, message.task);
      mounts.add(message.task.fd, images.open(message.task));
    }
    return true;
  };
  new ManyMounts(native).serve(wakes, {
    gone: end,
    woken: (mounts) => {
      for (let next = receiveMessageOnPort(port); next !== undefined; next = receiveMessageOnPort(port)) {
        if (!act(next.message as ToThread, mounts)) return false;
      }
      return true;
    },
  });
  port.close();
}
