import type { FuseError } from '../errors.ts';
import { openChannel } from './channel.ts';
import { AGAIN, exchange, GONE, send } from './device.ts';
import { Dispatcher } from './dispatcher.ts';
import type { Operations } from './operations.ts';
import { Reply } from './reply.ts';
import { Request } from './request.ts';

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
  const dispatcher = new Dispatcher(operations, { request: new Request(), reply: new Reply(options.validSeconds) });
  const answer = dispatcher.reply.buffer;
  const channel = openChannel(fd, answer, dispatcher.request.buffer);
  const report = (error: FuseError): void => dispatcher.report(error);
  let length = 0;
  for (;;) {
    const received = exchange(channel, length, report);
    if (received === GONE) return;
    length = received === AGAIN ? 0 : dispatcher.answer(received);
    if (dispatcher.refusal === undefined) continue;
    // Without waiting for a next request, which never comes.
    send(fd, answer, length);
    throw dispatcher.refusal;
  }
}
