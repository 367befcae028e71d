import type { ChildProcess } from 'node:child_process';
import { isatty } from 'node:tty';
import { UsageError } from '../errors.ts';

/** What a terminal sends to everybody in its foreground, and so to the runtime as well. */
const terminalSignals: readonly NodeJS.Signals[] = ['SIGINT', 'SIGQUIT', 'SIGWINCH'];
const passedSignals: readonly NodeJS.Signals[] = [...terminalSignals, 'SIGTERM', 'SIGHUP', 'SIGUSR1', 'SIGUSR2'];
const endingSignals: ReadonlySet<NodeJS.Signals> = new Set(['SIGINT', 'SIGQUIT', 'SIGTERM', 'SIGHUP']);

/**
 * A container's first process ignores a signal it has no handler for: pid_namespaces(7). Somebody who sends the third
 * one means it.
 */
const patience = 3;

/**
 * The signals this process gets while a container is on its way up and while it runs: they are the container's.
 * From here on none of them ends this process, which has to clean up.
 */
export class ContainerSignals {
  readonly #start = new AbortController();
  readonly #handlers: readonly (readonly [NodeJS.Signals, () => void])[];
  #runtime: ChildProcess | undefined;
  #stopSignal: NodeJS.Signals = 'SIGTERM';
  #kill: () => void = () => undefined;
  #received = 0;

  constructor() {
    this.#handlers = passedSignals.map((name) => [name, () => this.#receive(name)]);
    for (const [name, handler] of this.#handlers) process.on(name, handler);
  }

  /** Aborted by a signal that would end this process, until there is a container to get it. */
  get cancelled(): AbortSignal {
    return this.#start.signal;
  }

  /**
   * @param runtime - passes signals on to its container
   * @param stopSignal - what the container gets for SIGTERM
   * @param kill - ends a container that does not end by itself
   */
  passTo(runtime: ChildProcess, stopSignal: NodeJS.Signals, kill: () => void): void {
    this.#runtime = runtime;
    this.#stopSignal = stopSignal;
    this.#kill = kill;
  }

  /** Gives signals their usual meaning back. */
  close(): void {
    for (const [name, handler] of this.#handlers) process.removeListener(name, handler);
  }

  #receive(name: NodeJS.Signals): void {
    if (endingSignals.has(name)) this.#received += 1;
    if (this.#runtime === undefined) {
      if (endingSignals.has(name)) this.#start.abort(new UsageError('SLUICE_CANCELLED', `Cancelled by ${name}`));
    } else if (this.#received >= patience) {
      this.#kill();
    } else if (!isatty(0) || !terminalSignals.includes(name)) {
      this.#runtime.kill(name === 'SIGTERM' ? this.#stopSignal : name);
    }
  }
}
