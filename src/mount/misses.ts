import { LRUCache } from 'lru-cache';
import { replyData, replyError } from '../fuse/device.ts';
import { collectRead, type ReadSources } from './collect-read.ts';
import { isDying } from './is-dying.ts';
import type { Miss } from './messages.ts';
import type { FailedRead } from './mounted-image.ts';

/** EIO and EINTR as the kernel has them. Source: errno(3). */
const EIO = 5;
const EINTR = 4;

/** Interrupts that overtook the read they are about. The kernel never uses a number twice, so old ones do no harm. */
const maximumEarlyInterrupts = 1024;

/** A reader that survived one signal may be killed by the next, of which the kernel says nothing. */
const lookAgainMs = 200;

/** A read that is not answered yet. */
interface Waiting {
  readonly pid: number;
  /** Milliseconds since the epoch. */
  readonly since: number;
  readonly abort: AbortController;
}

/** Answers the reads that workers could not: gets the chunks, then writes the reply itself. Main thread. */
export class Misses {
  /** Reads so far. */
  count = 0;
  readonly #sources: ReadSources;
  readonly #waiting = new Map<number, Waiting>();
  readonly #answers = new Set<Promise<void>>();
  #isDropped = false;
  readonly #early = new LRUCache<number, true>({ max: maximumEarlyInterrupts });
  readonly #onFailure: (failure: FailedRead) => void;

  constructor(sources: ReadSources, onFailure: (failure: FailedRead) => void) {
    this.#sources = sources;
    this.#onFailure = onFailure;
  }

  /**
   * Answers one read. Never rejects: what goes wrong is the reader's errno, and reported.
   * @param fd - the descriptor the request came from
   */
  answer(fd: number, miss: Miss): Promise<void> {
    if (this.#isDropped) return Promise.resolve();
    const answered = this.#answer(fd, miss).finally(() => this.#answers.delete(answered));
    this.#answers.add(answered);
    return answered;
  }

  async #answer(fd: number, miss: Miss): Promise<void> {
    const { unique, pid } = miss;
    this.count++;
    const abort = new AbortController();
    this.#waiting.set(unique, { pid, since: Date.now(), abort });
    if (this.#early.delete(unique)) this.interrupt(unique);
    try {
      await collectRead(this.#sources, miss, abort.signal, (bytes) => {
        if (!abort.signal.aborted) replyData(fd, unique, [bytes]);
      });
    } catch (error) {
      if (abort.signal.aborted) return;
      this.#onFailure({ nid: miss.nid, offset: miss.offset, error });
      // Whatever went wrong, and that is reported: to a program that reads, a file it has open is there.
      replyError(fd, unique, EIO);
    } finally {
      if (abort.signal.aborted && !this.#isDropped) replyError(fd, unique, EINTR);
      this.#waiting.delete(unique);
    }
  }

  /**
   * The reader of `unique` was sent a signal. It is let go only if that ends it: a program whose page cannot be read is
   * killed, and one written in Go is sent a harmless SIGURG whenever a thread should make room for another.
   */
  interrupt(unique: number): void {
    const waiting = this.#waiting.get(unique);
    if (waiting === undefined) this.#early.set(unique, true);
    else this.#watch(unique, waiting);
  }

  /** Lets go of everybody: the mount is gone. */
  abortAll(): void {
    for (const { abort } of this.#waiting.values()) abort.abort();
  }

  /** Lets go of everybody without an answer: another process will give it. */
  dropAll(): void {
    this.#isDropped = true;
    this.abortAll();
  }

  /** Waits until everybody has an answer. */
  async settled(): Promise<void> {
    await Promise.all(this.#answers);
  }

  /** Reads that wait now, and since when the oldest one does, in milliseconds since the epoch. */
  waiting(): { readonly reads: number; readonly since: number | undefined } {
    const [oldest] = this.#waiting.values();
    return { reads: this.#waiting.size, since: oldest?.since };
  }

  #watch(unique: number, waiting: Waiting): void {
    if (this.#waiting.get(unique) !== waiting) return;
    if (isDying(waiting.pid)) waiting.abort.abort();
    else setTimeout(() => this.#watch(unique, waiting), lookAgainMs).unref();
  }
}
