import { closeSync, writeSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import { loadNative, type Native } from '../native.ts';
import { workerFile } from '../worker-file.ts';
import type { FromThread, MissMessage, MountTask, ToThread } from './messages.ts';
import type { ThreadStart } from './serve-worker.ts';

/** More threads than this never made a mount faster on the machines measured: the kernel hands out the requests. */
const maximumThreads = 4;

/** When the first mount gets all of the threads: most starts are over then. */
const othersAfterMs = 1000;

const wake = Uint8Array.of(0);

/** What the threads tell of a mount. */
export interface MountEvents {
  miss(miss: MissMessage): void;
  /** Whoever waits for read `unique` was sent a signal. */
  interrupt(unique: number): void;
}

interface Thread {
  readonly worker: Worker;
  readonly port: MessagePort;
  /** Ours, and the thread's end of what wakes it. Undefined for a thread of a single mount. */
  readonly wakes: readonly [number, number] | undefined;
}

interface Mount extends MountEvents {
  readonly task: MountTask;
  readonly servedBy: Set<Thread>;
  isReleased: boolean;
  resolve(): void;
  reject(error: unknown): void;
}

/**
 * The threads that serve the mounts of a process, any number of them (ADR 12). Without the addon, which waits on many
 * descriptors, there is a thread a mount.
 *
 * The first thread is on its way up at once, so that it is ready when the bootstrap is. The others come when there has been
 * a mount for a while: a start is served by one as quickly, and each takes 30 ms of CPU to come up, when there is none to
 * spare. Measured with python's start on two cores: 800 ms with two from the beginning, 690 with one.
 */
export class MountWorkers {
  readonly #file = workerFile('serve-worker', import.meta.url);
  readonly #native: Native | undefined = loadNative();
  readonly #count: number;
  readonly #mounts = new Map<number, Mount>();
  readonly #threads: Thread[] = [];
  /** One that has nothing to do yet. */
  #spare: Thread | undefined;
  #started = 0;
  #others: NodeJS.Timeout | undefined;
  /** Threads are started for a mount: until there was one, the process waits for it. */
  #isAwaited = true;
  #isClosed = false;
  // A thread that blocks cannot be terminated, and a process waits for its threads.
  readonly #exit = (): void => this.#dismiss();

  /** @param count - of threads, with the addon */
  constructor(count: number = Math.min(availableParallelism(), maximumThreads)) {
    this.#count = count;
    const first = this.#start();
    if (this.#native === undefined) this.#spare = first;
    process.on('exit', this.#exit);
  }

  /**
   * Serves a mount until it has ended or is released, and nothing that was read of it is unanswered but what `events` were
   * told of. Its descriptor is in use until then.
   */
  async serve(task: MountTask, events: MountEvents): Promise<void> {
    const ended = new Promise<void>((resolve, reject) => {
      this.#mounts.set(task.fd, { ...events, task, servedBy: new Set(), isReleased: false, resolve, reject });
    });
    this.#native?.setNonBlocking(task.fd);
    const spare = this.#native === undefined ? (this.#spare ?? this.#start()) : undefined;
    this.#spare = undefined;
    for (const thread of spare === undefined ? this.#threads : [spare]) this.#give(thread, task);
    this.#isAwaited = false;
    this.#others ??= setTimeout(() => this.#startOthers(), othersAfterMs).unref();
    this.#hold();
    try {
      await ended;
    } finally {
      this.#mounts.delete(task.fd);
      this.#hold();
    }
  }

  /** Serves a mount no longer; it goes on. Needs the addon. */
  release(fd: number): void {
    const mount = this.#mounts.get(fd);
    if (mount === undefined) return;
    mount.isReleased = true;
    for (const thread of mount.servedBy) this.#tell(thread, { kind: 'release', fd });
  }

  /** Ends the threads, once the mounts have ended. Doing it twice does no harm. */
  async close(): Promise<void> {
    const ended = this.#threads.map(
      ({ worker }) => new Promise<void>((resolve) => worker.once('exit', () => resolve())),
    );
    this.#dismiss();
    await Promise.all(ended);
  }

  #dismiss(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearTimeout(this.#others);
    process.off('exit', this.#exit);
    for (const thread of this.#threads) this.#tell(thread, { kind: 'close' });
    this.#hold();
  }

  /** The process stays for as long as there is a mount, and until threads that were told to end have ended. */
  #hold(): void {
    for (const { worker } of this.#threads) {
      if (this.#mounts.size > 0 || this.#isAwaited || this.#isClosed) worker.ref();
      else worker.unref();
    }
  }

  #startOthers(): void {
    if (this.#native === undefined || this.#isClosed) return;
    while (this.#threads.length < this.#count) {
      const thread = this.#start();
      for (const { task, isReleased } of this.#mounts.values()) if (!isReleased) this.#give(thread, task);
    }
    this.#hold();
  }

  #start(): Thread {
    const { port1, port2 } = new MessageChannel();
    const wakes = this.#native?.socketPair();
    if (wakes !== undefined) this.#native?.setNonBlocking(wakes[1]);
    const workerData: ThreadStart = { thread: this.#started++, port: port2, control: wakes?.[1] };
    const worker = new Worker(this.#file, { workerData, transferList: [port2] });
    port1.unref();
    const thread: Thread = { worker, port: port1, wakes };
    this.#threads.push(thread);
    worker.on('message', (message: FromThread) => this.#hear(thread, message));
    worker.once('error', (error) => {
      for (const { servedBy, reject } of this.#mounts.values()) if (servedBy.has(thread)) reject(error);
    });
    worker.once('exit', () => this.#gone(thread));
    return thread;
  }

  #give(thread: Thread, task: MountTask): void {
    this.#mounts.get(task.fd)?.servedBy.add(thread);
    this.#tell(thread, { kind: 'serve', task });
  }

  #tell({ port, wakes }: Thread, message: ToThread): void {
    port.postMessage(message);
    if (wakes !== undefined) writeSync(wakes[0], wake);
  }

  #hear(thread: Thread, message: FromThread): void {
    const mount = this.#mounts.get(message.fd);
    if (mount === undefined) return;
    if (message.kind === 'miss') mount.miss(message);
    else if (message.kind === 'interrupt') mount.interrupt(message.unique);
    else {
      mount.servedBy.delete(thread);
      if (mount.servedBy.size === 0) mount.resolve();
    }
  }

  #gone(thread: Thread): void {
    this.#threads.splice(this.#threads.indexOf(thread), 1);
    thread.port.close();
    for (const fd of thread.wakes ?? []) closeSync(fd);
  }
}
