import { closeSync, constants, fstatSync, openSync, renameSync, statSync } from 'node:fs';
import { LineWriter } from './line-writer.ts';
import type { LogSink } from './log.ts';

/** Holds some ten thousand lines, and is searched in no time. */
const defaultMaximumBytes = 8 * 1024 * 1024;

/**
 * A file that lines are appended to. One that would grow beyond its bound is renamed to `NAME.1`, in place of the one
 * before, and a new one begun: two files are all there ever are.
 *
 * Several processes may append to one file: each line is one write, and whoever finds the file renamed by another goes
 * on in the new one. A disk that is full costs lines, and is tried again with the next one.
 */
export class LogFile implements LogSink {
  readonly #path: string;
  readonly #maximumBytes: number;
  readonly #lines = new LineWriter();
  #fd: number | undefined;

  private constructor(path: string, maximumBytes: number) {
    this.#path = path;
    this.#maximumBytes = maximumBytes;
    this.#fd = openLog(path);
  }

  /**
   * Opens the file, or makes it (0600). Its folder has to be there.
   * @throws what open(2) does
   */
  static open(path: string, maximumBytes: number = defaultMaximumBytes): LogFile {
    return new LogFile(path, maximumBytes);
  }

  write(line: string): boolean {
    try {
      return this.#lines.write(this.#descriptor(Buffer.byteLength(line)), line);
    } catch {
      return false;
    }
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }

  /** One with room for `length` bytes. */
  #descriptor(length: number): number {
    const fd = this.#fd ?? openLog(this.#path);
    this.#fd = fd;
    const { size, ino } = fstatSync(fd);
    const isCurrent = statSync(this.#path, { throwIfNoEntry: false })?.ino === ino;
    if (isCurrent && size > 0 && size + length > this.#maximumBytes) renameSync(this.#path, `${this.#path}.1`);
    else if (isCurrent) return fd;
    this.close();
    this.#fd = openLog(this.#path);
    return this.#fd;
  }
}

function openLog(path: string): number {
  const { O_WRONLY, O_APPEND, O_CREAT, O_NOFOLLOW } = constants;
  return openSync(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW, 0o600);
}
