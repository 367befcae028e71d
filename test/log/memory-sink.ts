import type { LogSink } from '../../src/log/log.ts';

/** Keeps lines, unless it is full. */
export class MemorySink implements LogSink {
  readonly lines: string[] = [];
  isFull = false;

  write(line: string): boolean {
    if (!this.isFull) this.lines.push(line);
    return !this.isFull;
  }

  close(): void {}
}
