import { closeSync, openSync, readSync } from 'node:fs';

/** What docker-registry writes at level debug as soon as a request is there; the embedded registry writes the same. */
export const requestMark = 'msg="authorizing request"';

/** Read at once at most: the log grows by some kilobytes a request. */
const pieceBytes = 1 << 20;

/** Counts the requests in a registry's log. */
export class RequestLog {
  readonly #fd: number;
  readonly #piece = Buffer.alloc(pieceBytes);
  #offset = 0;
  #rest = '';
  #count = 0;

  constructor(file: string) {
    this.#fd = openSync(file, 'r');
  }

  /** Requests that have begun since the log was. */
  count(): number {
    for (;;) {
      const length = readSync(this.#fd, this.#piece, 0, pieceBytes, this.#offset);
      if (length === 0) return this.#count;
      this.#offset += length;
      const lines = (this.#rest + this.#piece.toString('latin1', 0, length)).split('\n');
      this.#rest = lines.pop() ?? '';
      this.#count += lines.filter((line) => line.includes(requestMark)).length;
    }
  }

  close(): void {
    closeSync(this.#fd);
  }
}
