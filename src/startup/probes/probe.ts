import { busyMs } from './busy-time.ts';
import { FirstExec } from './first-exec.ts';
import { type ByteCounter, openReceivedBytes, type ReceivedBytes } from './received-bytes.ts';
import { RequestLog } from './request-log.ts';

/** What is looked at while a container starts. */
export interface ProbeOptions {
  readonly counter: ByteCounter;
  /** The registry's. */
  readonly requestLog: string;
  /** Processes of registry and link, whose CPU time is not the client's. */
  readonly others: readonly number[];
}

export interface Readings {
  readonly readyMs: number;
  readonly firstExecMs: number | undefined;
  readonly bytes: number;
  readonly requests: number;
  readonly cpuMs: number;
  readonly timeline: readonly (readonly [number, number])[];
}

const periodMs = 4;
/** Most points of a timeline; a start of an hour would be a document of megabytes. */
const maximumPoints = 4000;

/** Measures one start, from the call of the constructor to that of {@link Probe.stop}. */
export class Probe {
  readonly #received: ReceivedBytes;
  readonly #log: RequestLog;
  readonly #others: readonly number[];
  readonly #exec = new FirstExec();
  readonly #timeline: [number, number][] = [[0, 0]];
  readonly #before: { readonly bytes: number; readonly requests: number; readonly cpuMs: number };
  readonly #timer: NodeJS.Timeout;
  readonly #startedMs: number;
  #firstExecMs: number | undefined;

  constructor({ counter, requestLog, others }: ProbeOptions) {
    this.#received = openReceivedBytes(counter);
    this.#log = new RequestLog(requestLog);
    this.#others = others;
    this.#before = { bytes: this.#received.read(), requests: this.#log.count(), cpuMs: busyMs(others) };
    this.#timer = setInterval(() => this.#look(performance.now() - this.#startedMs), periodMs);
    this.#startedMs = performance.now();
  }

  /** What was measured up to now. */
  stop(): Readings {
    const readyMs = performance.now() - this.#startedMs;
    clearInterval(this.#timer);
    this.#look(readyMs);
    const requests = this.#log.count() - this.#before.requests;
    const cpuMs = busyMs(this.#others) - this.#before.cpuMs;
    this.#received.close();
    this.#log.close();
    const bytes = this.#timeline.at(-1)?.[1] ?? 0;
    return {
      readyMs,
      firstExecMs: this.#firstExecMs,
      bytes,
      requests,
      cpuMs: Math.max(0, cpuMs),
      timeline: this.#timeline,
    };
  }

  #look(ms: number): void {
    const bytes = this.#received.read() - this.#before.bytes;
    if (bytes !== this.#timeline.at(-1)?.[1]) {
      if (this.#timeline.length >= maximumPoints) this.#timeline.pop();
      this.#timeline.push([ms, bytes]);
    }
    if (this.#firstExecMs === undefined && this.#exec.seen()) this.#firstExecMs = ms;
  }
}
