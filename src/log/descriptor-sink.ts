import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import { LineWriter } from './line-writer.ts';
import type { LogSink } from './log.ts';

/**
 * Writes to an open descriptor: stderr, a pipe to whoever collects logs.
 *
 * Synchronously, so that the last line before a crash is there. A reader that stopped reading must not stop this
 * process: a pipe or terminal is opened once more, for this alone, without waiting, and what does not fit is lost.
 */
export class DescriptorSink implements LogSink {
  readonly #fd: number;
  readonly #isOwn: boolean;
  readonly #lines = new LineWriter();

  private constructor(fd: number, isOwn: boolean) {
    this.#fd = fd;
    this.#isOwn = isOwn;
  }

  /** @param fd - stays the caller's, and open as long as this is */
  static open(fd: number): DescriptorSink {
    try {
      const stats = fstatSync(fd);
      // A file has an offset, which others who write to this descriptor rely on. It makes nobody wait.
      if (!stats.isFIFO() && !stats.isCharacterDevice()) return new DescriptorSink(fd, false);
      const { O_WRONLY, O_NONBLOCK, O_NOCTTY } = constants;
      return new DescriptorSink(openSync(`/proc/self/fd/${fd}`, O_WRONLY | O_NONBLOCK | O_NOCTTY), true);
    } catch {
      // Somebody else's terminal, or no /proc.
      return new DescriptorSink(fd, false);
    }
  }

  write(line: string): boolean {
    return this.#lines.write(this.#fd, line);
  }

  close(): void {
    if (this.#isOwn) closeSync(this.#fd);
  }
}
