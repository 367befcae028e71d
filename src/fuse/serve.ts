import { AGAIN, GONE, receive, send } from './device.ts';
import { Dispatcher } from './dispatcher.ts';
import type { Operations } from './operations.ts';

export interface ServeOptions {
  /**
   * For how long the kernel keeps names and attributes without asking again, in seconds. Default: 136 years, for a
   * mounted image never changes. Benchmarks set 0.
   */
  readonly validSeconds?: number;
}

/**
 * Serves a mount on this thread until it is unmounted or its connection aborted. Blocks: run it in a worker. A worker
 * that waits for a request cannot be terminated; unmount first, and it returns by itself.
 *
 * Several workers may serve one mount, by the same descriptor or by clones of it. Whichever gets INIT answers it.
 * The answer to a pending read goes to the descriptor its request came from.
 *
 * @param fd - /dev/fuse, mounted; stays open
 * @throws {FuseError} SLUICE_FUSE_PROTOCOL when the kernel is too old
 */
export function serve(fd: number, operations: Operations, options: ServeOptions = {}): void {
  const dispatcher = new Dispatcher(operations, options.validSeconds);
  const { buffer } = dispatcher.request;
  const answer = dispatcher.reply.buffer;
  for (;;) {
    const received = receive(fd, buffer);
    if (received === GONE) return;
    if (received === AGAIN) continue;
    const length = dispatcher.answer(received);
    if (length > 0) sendOrReport(fd, answer, length, dispatcher);
    if (dispatcher.refusal !== undefined) throw dispatcher.refusal;
  }
}

/** One answer the kernel finds wrong is EIO to one reader. It must not end the service of the others. */
function sendOrReport(fd: number, answer: Buffer, length: number, dispatcher: Dispatcher): void {
  try {
    send(fd, answer, length);
  } catch (error) {
    dispatcher.report(error);
  }
}
