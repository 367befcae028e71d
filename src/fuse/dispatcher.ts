import { channel } from 'node:diagnostics_channel';
import { constants } from 'node:os';
import { SluiceError } from '../errors.ts';
import { acceptableErrno, opcode } from './format.ts';
import { handlers, SILENT } from './handlers.ts';
import { type Operations, type Outcome, PENDING } from './operations.ts';
import { Reply } from './reply.ts';
import { MalformedRequest, Request } from './request.ts';

const { EINVAL, EIO, ENOSYS } = constants.errno;

/** What is published on {@link failureChannel}. */
export interface RequestFailure {
  readonly error: unknown;
  readonly opcode: number;
}

/**
 * The name of the diagnostics channel that gets a {@link RequestFailure} for each exception out of an operation.
 * The reader sees an errno only; whoever wants to know more subscribes, in the worker's thread.
 */
export const failureChannel = 'sluice:fuse:failure';
const failures = channel(failureChannel);

/** Where requests are read to and answers encoded: a MiB and more. */
export interface ExchangeBuffers {
  readonly request: Request;
  readonly reply: Reply;
}

/** From request to answer, in memory. Does no I/O. */
export class Dispatcher {
  readonly request: Request;
  readonly reply: Reply;
  readonly #operations: Operations;
  #refusal: SluiceError | undefined;

  /** @param buffers - which a thread's dispatchers share: they answer one request after the other */
  constructor(operations: Operations, buffers: ExchangeBuffers = { request: new Request(), reply: new Reply() }) {
    this.#operations = operations;
    this.request = buffers.request;
    this.reply = buffers.reply;
  }

  /** Why INIT was refused. The answer says so to the kernel; the mount is of no use. */
  get refusal(): SluiceError | undefined {
    return this.#refusal;
  }

  /**
   * Answers the request in the first `length` bytes of `request.buffer`.
   * @returns how many bytes of `reply.buffer` are to be sent; 0 when there is nothing to send, now at least
   * @throws {FuseError} SLUICE_FUSE_PROTOCOL when these bytes are no request at all
   */
  answer(length: number): number {
    const { request, reply } = this;
    request.accept(length);
    const outcome = this.#outcome();
    if (outcome === PENDING || outcome === SILENT) return 0;
    const { uniqueLow, uniqueHigh } = request;
    if (outcome >= 0) return reply.finish(uniqueLow, uniqueHigh, 0, outcome);
    return reply.finish(uniqueLow, uniqueHigh, -acceptableErrno(-outcome), 0);
  }

  /** Publishes what went wrong with the current request. */
  report(error: unknown): void {
    failures.publish({ error, opcode: this.request.opcode } satisfies RequestFailure);
  }

  #outcome(): Outcome {
    const { request } = this;
    try {
      const handler = handlers[request.opcode];
      return handler === undefined ? -ENOSYS : handler(request, this.#operations, this.reply);
    } catch (error) {
      if (error instanceof MalformedRequest) return -EINVAL;
      return this.#failure(error);
    }
  }

  #failure(error: unknown): Outcome {
    this.report(error);
    if (!(error instanceof SluiceError)) return -EIO;
    if (this.request.opcode === opcode.init) this.#refusal = error;
    return -error.errno;
  }
}
