import { writeSync } from 'node:fs';

/** Writes lines with one call each, and keeps one that is cut short from running into the next. */
export class LineWriter {
  #isTorn = false;

  /** Never throws. @returns false when the line, or the end of it, is lost: no room in a pipe, or on a disk */
  write(fd: number, line: string): boolean {
    const bytes = Buffer.from(this.#isTorn ? `\n${line}` : line);
    try {
      const written = writeSync(fd, bytes);
      if (written > 0) this.#isTorn = written < bytes.length;
      return written === bytes.length;
    } catch {
      return false;
    }
  }
}
