import { formats, type LogFormat } from './format.ts';
import { type LogLevel, logLevels } from './levels.ts';
import { type LogFacts, recordOf } from './record.ts';

/** Where lines go. Never waits long, never throws. */
export interface LogSink {
  /** @returns false when the line is lost */
  write(line: string): boolean;
  close(): void;
}

export interface LogOptions {
  /** Stays the caller's. */
  readonly sink: LogSink;
  /** Default: text. */
  readonly format?: LogFormat | undefined;
  /** What is less severe is not written. Default: info. */
  readonly level?: LogLevel | undefined;
}

/**
 * What happens, a line each. An event is a name for machines, facts are what is known of it; there is no sentence to
 * parse. Nothing is formatted that is not written, and credentials never are.
 */
export class Log {
  readonly #sink: LogSink;
  readonly #format: LogFormat;
  readonly #level: LogLevel;
  #lost = 0;

  constructor({ sink, format = 'text', level = 'info' }: LogOptions) {
    this.#sink = sink;
    this.#format = format;
    this.#level = level;
  }

  debug(event: string, facts?: LogFacts): void {
    this.write('debug', event, facts);
  }

  info(event: string, facts?: LogFacts): void {
    this.write('info', event, facts);
  }

  warn(event: string, facts?: LogFacts): void {
    this.write('warn', event, facts);
  }

  error(event: string, facts?: LogFacts): void {
    this.write('error', event, facts);
  }

  isWritten(level: LogLevel): boolean {
    return logLevels.indexOf(level) >= logLevels.indexOf(this.#level);
  }

  /** Never throws: whoever has something to say goes on. */
  write(level: LogLevel, event: string, facts: LogFacts = {}): void {
    if (!this.isWritten(level)) return;
    if (this.#lost > 0 && this.#put('warn', 'log:lost', { lines: this.#lost })) this.#lost = 0;
    if (!this.#put(level, event, facts)) this.#lost++;
  }

  #put(level: LogLevel, event: string, facts: LogFacts): boolean {
    return this.#sink.write(formats[this.#format](recordOf(new Date(), level, event, facts)));
  }
}
