import { Worker } from 'node:worker_threads';
import type { FuseSession } from '../../src/fuse/session.ts';
import type { TestEntry } from './conformance-tree.ts';
import { counted, type PendingRead } from './fuse-memory.js';
import { makeTemporaryDirectory, removeTemporaryDirectory } from './temporary.ts';

export interface MemoryMountOptions {
  readonly entries: readonly TestEntry[];
  readonly source?: string;
  /** Default 1. */
  readonly workers?: number;
  /** Gives each worker but the first a clone of the descriptor. */
  readonly clone?: boolean;
}

/** A read some worker left pending, and the descriptor to answer it by. */
export type MountedPendingRead = PendingRead & { readonly fd: number };

type Message =
  | { readonly kind: 'serving' | 'ended' }
  | { readonly kind: 'interrupt'; readonly unique: number }
  | ({ readonly kind: 'failure' } & MountedFailure)
  | ({ readonly kind: 'pending' } & MountedPendingRead);

/** What a worker published on the failure channel. */
export interface MountedFailure {
  readonly code: string | undefined;
  readonly opcode: number;
}

/** A memory file system, really mounted, served by worker threads. Pending reads are answered by this thread. */
export class MemoryMount {
  readonly session: FuseSession;
  readonly #counters = new Int32Array(new SharedArrayBuffer(4 * counted.length));
  readonly #workers: Worker[] = [];
  readonly #exits: Promise<number>[] = [];
  readonly #pending: MountedPendingRead[] = [];
  readonly #interrupts: number[] = [];
  readonly #failures: MountedFailure[] = [];
  #wake: () => void = () => undefined;

  constructor(session: FuseSession) {
    this.session = session;
  }

  get directory(): string {
    return this.session.mountPoint;
  }

  /** Resolves when the worker is about to serve. */
  async start(fd: number, entries: readonly TestEntry[]): Promise<void> {
    const workerData = { fd, mountPoint: this.directory, entries, counters: this.#counters };
    const worker = new Worker(new URL('./fuse-memory-worker.js', import.meta.url), { workerData });
    this.#workers.push(worker);
    this.#exits.push(new Promise((resolve) => worker.once('exit', resolve)));
    await new Promise<void>((resolve, reject) => {
      worker.on('error', reject);
      worker.on('message', (message: Message) => {
        if (message.kind === 'serving') resolve();
        if (message.kind === 'pending') this.#pending.push(message);
        if (message.kind === 'interrupt') this.#interrupts.push(message.unique);
        if (message.kind === 'failure') this.#failures.push({ code: message.code, opcode: message.opcode });
        this.#wake();
      });
    });
  }

  /** How many requests of a kind came in so far. */
  count(operation: string): number {
    return Atomics.load(this.#counters, counted.indexOf(operation));
  }

  /** The next read that was left pending. */
  nextPending(): Promise<MountedPendingRead> {
    return this.#next(this.#pending);
  }

  /** `unique` of the next interrupted read. */
  nextInterrupt(): Promise<number> {
    return this.#next(this.#interrupts);
  }

  /** The next failure a worker reported. */
  nextFailure(): Promise<MountedFailure> {
    return this.#next(this.#failures);
  }

  /** Asks each worker to stop, which it can only when its read(2) returns. */
  terminate(): void {
    for (const worker of this.#workers) void worker.terminate();
  }

  /** Resolves when each worker has returned from `serve`, which they do when the mount ends. */
  ended(): Promise<number[]> {
    return Promise.all(this.#exits);
  }

  /** Unmounts if still mounted, waits for the workers, removes the directory. */
  async stop(): Promise<void> {
    await removeTemporaryDirectory(this.directory);
    await this.ended();
    this.session.close();
  }

  async #next<T>(queue: T[]): Promise<T> {
    for (;;) {
      const item = queue.shift();
      if (item !== undefined) return item;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}

/** @param openSession - `FuseSession.open`, of whichever engine is tested */
export async function mountMemory(
  openSession: typeof FuseSession.open,
  { entries, source = 'memory', workers = 1, clone = false }: MemoryMountOptions,
): Promise<MemoryMount> {
  const session = await openSession({ mountPoint: makeTemporaryDirectory(), source });
  const mounted = new MemoryMount(session);
  try {
    for (let i = 0; i < workers; i++) await mounted.start(clone && i > 0 ? session.clone() : session.fd, entries);
    return mounted;
  } catch (error) {
    await mounted.stop();
    throw error;
  }
}
