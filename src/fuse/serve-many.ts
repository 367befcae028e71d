import type { Native } from '../native.ts';
import { AGAIN, failedExchange, GONE, send } from './device.ts';
import { Dispatcher, type ExchangeBuffers } from './dispatcher.ts';
import type { Operations } from './operations.ts';
import { Reply } from './reply.ts';
import { Request } from './request.ts';

/** epoll(7). Exclusive: a request wakes one of the threads that wait for it, not all. */
const EPOLLIN = 0x001;
const EPOLLEXCLUSIVE = 2 ** 28;

/** So many requests of one mount may be answered before the others, and the control descriptor, are looked at. */
const turnsInARow = 16;

/** What happens besides requests. */
export interface ManyMountsEvents {
  /**
   * The control descriptor had bytes, which are read: look for what there is to do.
   * @returns false to end
   */
  woken(mounts: ManyMounts): boolean;
  /** A mount has ended, or its kernel is too old, and is no longer served here. */
  gone(fd: number): void;
}

/** The mounts that one thread serves: it waits for a request of any of them. */
export class ManyMounts {
  readonly #native: Native;
  readonly #epfd: number;
  readonly #dispatchers = new Map<number, Dispatcher>();
  readonly #buffers: ExchangeBuffers = { request: new Request(), reply: new Reply() };

  constructor(native: Native) {
    this.#native = native;
    this.#epfd = native.epollCreate();
  }

  /** @param fd - /dev/fuse, mounted, non-blocking; stays open until it is removed or gone */
  add(fd: number, operations: Operations): void {
    this.#dispatchers.set(fd, new Dispatcher(operations, this.#buffers));
    this.#native.epollAdd(this.#epfd, fd, EPOLLIN | EPOLLEXCLUSIVE, fd);
  }

  /** When this returns, nothing that was read of the mount is left unanswered here, and nothing more is read. */
  remove(fd: number): void {
    if (this.#dispatchers.delete(fd)) this.#native.epollRemove(this.#epfd, fd);
  }

  /**
   * Serves until told to end. Blocks: run it in a worker.
   * @param control - readable and non-blocking; what is written to its other end wakes the thread
   */
  serve(control: number, events: ManyMountsEvents): void {
    this.#native.epollAdd(this.#epfd, control, EPOLLIN, control);
    const from = new Int32Array(1);
    const fromBytes = new Uint8Array(from.buffer);
    for (let [to, length, turn] = [-1, 0, 0]; ; turn++) {
      // One that was not answered may be gone; and the others have to get their turn.
      if (length === 0 || turn % turnsInARow === 0) from[0] = -1;
      const received = this.#exchange(to, length, fromBytes);
      to = from[0] ?? -1;
      if (to !== control) length = this.#answer(to, received, events);
      else if (events.woken(this)) length = 0;
      else return;
    }
  }

  /** @returns length of the answer that is to be sent; 0 when there is none */
  #answer(fd: number, received: number, { gone }: ManyMountsEvents): number {
    const dispatcher = this.#dispatchers.get(fd);
    if (received === AGAIN || dispatcher === undefined) return 0;
    const length = received === GONE ? 0 : dispatcher.answer(received);
    if (received !== GONE && dispatcher.refusal === undefined) return length;
    if (length > 0) send(fd, this.#buffers.reply.buffer, length);
    this.remove(fd);
    gone(fd);
    return 0;
  }

  #exchange(to: number, length: number, from: Uint8Array): number {
    const { request, reply } = this.#buffers;
    try {
      return this.#native.fuseExchangeAny(this.#epfd, to, reply.buffer, length, request.buffer, from);
    } catch (error) {
      return this.#failed(error, to);
    }
  }

  /** What is wrong with one mount must not end the others. */
  #failed(error: unknown, to: number): number {
    try {
      return failedExchange(error, (refused) => this.#dispatchers.get(to)?.report(refused));
    } catch (fatal) {
      this.#dispatchers.get(to)?.report(fatal);
      return GONE;
    }
  }
}
