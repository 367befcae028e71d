import { LRUCache } from 'lru-cache';
import { SluiceError } from '../errors.ts';
import { replyData, replyError } from '../fuse/device.ts';
import { collectRead, type ReadSources } from './collect-read.ts';
import type { Miss } from './messages.ts';
import type { ReadFailed } from './miss-channels.ts';

/** EIO and EINTR as the kernel has them. Source: errno(3). */
const EIO = 5;
const EINTR = 4;

/** Interrupts that overtook the read they are about. The kernel never uses a number twice, so old ones do no harm. */
const maximumEarlyInterrupts = 1024;

/** Answers the reads that workers could not: gets the chunks, then writes the reply itself. Main thread. */
export class Misses {
  readonly #sources: ReadSources;
  readonly #waiting = new Map<number, AbortController>();
  readonly #early = new LRUCache<number, true>({ max: maximumEarlyInterrupts });
  readonly #onFailure: (failure: Omit<ReadFailed, 'mountPoint'>) => void;

  constructor(sources: ReadSources, onFailure: (failure: Omit<ReadFailed, 'mountPoint'>) => void) {
    this.#sources = sources;
    this.#onFailure = onFailure;
  }

  /**
   * Answers one read. Never rejects: what goes wrong is the reader's errno, and reported.
   * @param fd - the descriptor the request came from
   */
  async answer(fd: number, miss: Miss): Promise<void> {
    const { unique } = miss;
    if (this.#early.delete(unique)) {
      replyError(fd, unique, EINTR);
      return;
    }
    const abort = new AbortController();
    this.#waiting.set(unique, abort);
    try {
      const buffers = await collectRead(this.#sources, miss, abort.signal);
      if (!abort.signal.aborted) replyData(fd, unique, buffers);
    } catch (error) {
      if (abort.signal.aborted) return;
      this.#onFailure({ nid: miss.nid, offset: miss.offset, error });
      replyError(fd, unique, error instanceof SluiceError ? error.errno : EIO);
    } finally {
      if (abort.signal.aborted) replyError(fd, unique, EINTR);
      this.#waiting.delete(unique);
    }
  }

  /** The reader of `unique` was sent a signal: it need not wait longer. */
  interrupt(unique: number): void {
    const waiting = this.#waiting.get(unique);
    if (waiting === undefined) this.#early.set(unique, true);
    else waiting.abort();
  }

  /** Lets go of everybody: the mount is gone. */
  abortAll(): void {
    for (const abort of this.#waiting.values()) abort.abort();
  }
}
