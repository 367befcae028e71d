import { Worker } from 'node:worker_threads';
import { type PackedError, reviveError } from '../packed-error.ts';

interface Job {
  readonly request: unknown;
  readonly resolve: (value: never) => void;
  readonly reject: (reason: unknown) => void;
}

/** What a worker answers: one message a request, in order. */
export type WorkerAnswer = { readonly result: unknown } | { readonly error: PackedError };

/**
 * A fixed number of worker threads that each do one job at a time, first come first served.
 * Requests and results are structured clones; an error crosses with its code and facts.
 */
export class WorkerPool {
  readonly #file: URL;
  readonly #size: number;
  readonly #workers = new Set<Worker>();
  readonly #idle = new Set<Worker>();
  readonly #running = new Map<Worker, Job>();
  readonly #queue: Job[] = [];

  /** @param size - how many threads at most; each starts when first needed */
  constructor(file: URL, size: number) {
    this.#file = file;
    this.#size = size;
  }

  run<Result>(request: unknown): Promise<Result> {
    return new Promise<Result>((resolve, reject) => {
      this.#queue.push({ request, resolve, reject });
      this.#dispatch();
    });
  }

  /** Stops the threads; what is still running rejects. */
  async close(): Promise<void> {
    for (const job of this.#queue.splice(0)) job.reject(new Error('Cannot run the job: the pool is closed'));
    await Promise.all(Array.from(this.#workers, (worker) => worker.terminate()));
  }

  #dispatch(): void {
    while (this.#queue.length > 0) {
      const [worker = this.#start()] = this.#idle;
      if (worker === undefined) return;
      this.#idle.delete(worker);
      const job = this.#queue.shift();
      if (job === undefined) return;
      this.#running.set(worker, job);
      worker.postMessage(job.request);
    }
  }

  #start(): Worker | undefined {
    if (this.#workers.size >= this.#size) return undefined;
    const worker = new Worker(this.#file);
    this.#workers.add(worker);
    worker.on('message', (answer: WorkerAnswer) => {
      const job = this.#running.get(worker);
      this.#running.delete(worker);
      this.#idle.add(worker);
      if ('error' in answer) job?.reject(reviveError(answer.error));
      else job?.resolve(answer.result as never);
      this.#dispatch();
    });
    // The event `exit` follows every `error`: only the first of them finds the worker listed.
    const fail = (reason: unknown): void => {
      if (!this.#workers.delete(worker)) return;
      this.#idle.delete(worker);
      this.#running.get(worker)?.reject(reason);
      this.#running.delete(worker);
      this.#dispatch();
    };
    worker.once('error', fail);
    worker.once('exit', (status) => fail(new Error(`Cannot finish the job: its worker ended with status ${status}`)));
    return worker;
  }
}
