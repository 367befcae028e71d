import { closeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Native } from '../native.ts';
import { DaemonProcess } from './daemon-process.ts';
import type { DaemonCommand, KeptMount, ToHolder } from './protocol.ts';

/** A successor that has not read its images by then is not going to. */
const prepareMs = 60_000;

/** Releasing waits for reads that are being answered: no time at all. A daemon that does not is killed. */
const releaseMs = 10_000;

/** A daemon that dies over and over is started ever more slowly. */
const firstDelayMs = 50;
const maximumDelayMs = 5_000;

/** Readers wait while there is no daemon: so long, then the mounts are given up, and they get ENOTCONN. */
const giveUpMs = 120_000;

/** The daemon's, and its end is ours. */
const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** What happened, for the log. */
export type HolderEvent = 'daemon started' | 'daemon died' | 'upgraded' | 'upgrade failed' | 'mounts given up';

export interface HolderOptions {
  readonly native: Native;
  /** Starts a daemon that knows its holder by HolderLink. */
  readonly command: DaemonCommand;
  /** Descriptors every daemon gets, from number 4 up: a listening socket. */
  readonly inherited?: readonly number[] | undefined;
  readonly onEvent: (event: HolderEvent, facts: Readonly<Record<string, string | number>>) => void;
}

/**
 * A small process that outlives its daemon: it keeps the descriptors of the mounts, so that no mount ends with the
 * daemon that serves it, and starts another one when that dies or is to be replaced (ADR-0016). It knows no image and
 * answers nobody; whatever may fail is in the daemon.
 */
export class Holder {
  readonly #options: HolderOptions;
  readonly #kept = new Map<number, { readonly mount: KeptMount; readonly fd: number }>();
  #command: DaemonCommand;
  #current: DaemonProcess | undefined;
  #successor: DaemonProcess | undefined;
  /** Since when no daemon serves the mounts. */
  #unservedSince: number | undefined = performance.now();
  #failures = 0;
  #upgrading = false;
  /** Told to end: however the daemon does, there is no other. */
  #isStopping = false;
  readonly #waiting = new Map<ToHolder['kind'], (from: DaemonProcess) => void>();
  #end: (status: number) => void = () => undefined;

  private constructor(options: HolderOptions) {
    this.#options = options;
    this.#command = options.command;
  }

  /** Runs a daemon until it ends by itself. @returns its exit status */
  static async run(options: HolderOptions): Promise<number> {
    const holder = new Holder(options);
    const pass = (signal: NodeJS.Signals): void => {
      holder.#isStopping = true;
      holder.#current?.kill(signal);
    };
    for (const signal of signals) process.on(signal, pass);
    const status = await new Promise<number>((resolve) => {
      holder.#end = resolve;
      holder.#start();
    });
    for (const signal of signals) process.off(signal, pass);
    holder.#successor?.kill('SIGKILL');
    for (const id of [...holder.#kept.keys()]) holder.#drop(id);
    return status;
  }

  #start(): void {
    this.#current = this.#spawn();
    this.#serveAll(this.#current);
  }

  #spawn(): DaemonProcess {
    const { native, inherited = [] } = this.#options;
    const daemon = new DaemonProcess(native, this.#command, inherited, (message, from) => this.#hear(message, from));
    void daemon.exited.then((status) => this.#exited(daemon, status));
    return daemon;
  }

  #serveAll(daemon: DaemonProcess): void {
    const kept = [...this.#kept.values()];
    daemon.serve(
      kept.map(({ mount }) => mount),
      kept.map(({ fd }) => fd),
    );
  }

  #hear(message: ToHolder, from: DaemonProcess): void {
    this.#waiting.get(message.kind)?.(from);
    // What one that was replaced says about its mounts is no longer about ours.
    if (from !== this.#current) return;
    if (message.kind === 'keep') this.#keep(message.mount, from.takeDescriptor());
    else if (message.kind === 'drop') this.#drop(message.id);
    else if (message.kind === 'ready') this.#served(from);
    else if (message.kind === 'upgrade') void this.#upgrade(from, message.command);
  }

  #keep(mount: KeptMount, fd: number): void {
    this.#drop(mount.id);
    this.#kept.set(mount.id, { mount, fd });
  }

  #served({ pid }: DaemonProcess): void {
    this.#options.onEvent('daemon started', { pid, mounts: this.#kept.size });
    this.#unservedSince = undefined;
    this.#failures = 0;
  }

  #drop(id: number): void {
    const kept = this.#kept.get(id);
    this.#kept.delete(id);
    if (kept !== undefined) closeSync(kept.fd);
  }

  async #exited(daemon: DaemonProcess, status: number): Promise<void> {
    if (daemon !== this.#current) return;
    this.#current = undefined;
    const neverServed = this.#unservedSince !== undefined && this.#kept.size === 0;
    // By itself, or for a reason that the next one would have, too.
    if (status === 0 || neverServed || this.#isStopping) return this.#end(status);
    this.#unservedSince ??= performance.now();
    this.#options.onEvent('daemon died', { pid: daemon.pid, status, mounts: this.#kept.size });
    if (performance.now() - this.#unservedSince > giveUpMs) {
      this.#options.onEvent('mounts given up', { mounts: this.#kept.size });
      return this.#end(status);
    }
    // The first one is replaced at once: readers wait.
    if (this.#failures > 0) await sleep(Math.min(maximumDelayMs, firstDelayMs * 2 ** this.#failures));
    this.#failures++;
    this.#start();
  }

  /** Until the successor has read all it needs, the old one serves; then it lets go, and the successor takes over. */
  async #upgrade(old: DaemonProcess, command: DaemonCommand | undefined): Promise<void> {
    if (this.#upgrading) return old.tell({ kind: 'upgrade-failed', why: 'another upgrade is under way' });
    this.#upgrading = true;
    const before = this.#command;
    this.#command = command ?? before;
    try {
      const why = await this.#replace(old);
      if (why === undefined) return;
      this.#command = before;
      this.#options.onEvent('upgrade failed', { why });
      old.tell({ kind: 'upgrade-failed', why });
    } finally {
      this.#upgrading = false;
    }
  }

  /** @returns why not; the old daemon goes on then */
  async #replace(old: DaemonProcess): Promise<string | undefined> {
    const successor = this.#spawn();
    this.#successor = successor;
    const prepared = this.#wait('prepared', successor, prepareMs);
    successor.prepare([...this.#kept.values()].map(({ mount }) => mount));
    if (!(await prepared)) {
      successor.kill('SIGKILL');
      return `the new daemon (pid ${successor.pid}) did not get ready; see the log`;
    }
    // It has died meanwhile, and has been replaced: by what was meant to replace it.
    if (this.#current !== old) {
      successor.kill('SIGKILL');
      return undefined;
    }
    const start = performance.now();
    const released = this.#wait('released', old, releaseMs);
    old.release();
    const isReleased = await released;
    this.#current = successor;
    this.#successor = undefined;
    this.#unservedSince = start;
    // What it holds on to comes back when it is dead.
    if (!isReleased) old.kill('SIGKILL');
    if (!isReleased) await old.exited;
    const ready = this.#wait('ready', successor, giveUpMs);
    this.#serveAll(successor);
    if (!(await ready)) return undefined;
    const stallMs = Math.round(performance.now() - start);
    this.#options.onEvent('upgraded', { from: old.pid, to: successor.pid, stallMs });
    old.tell({ kind: 'upgraded', pid: successor.pid, stallMs });
    return undefined;
  }

  /** @returns false when the daemon died, or took too long */
  async #wait(kind: ToHolder['kind'], daemon: DaemonProcess, milliseconds: number): Promise<boolean> {
    const abort = new AbortController();
    const said = new Promise<boolean>((resolve) => {
      this.#waiting.set(kind, (from) => {
        if (from === daemon) resolve(true);
      });
    });
    const late = sleep(milliseconds, false, { signal: abort.signal }).catch(() => false);
    try {
      return await Promise.race([said, daemon.exited.then(() => false), late]);
    } finally {
      abort.abort();
      this.#waiting.delete(kind);
    }
  }
}
