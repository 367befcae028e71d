import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync } from 'node:fs';
import { constants } from 'node:os';
import type { Native } from '../native.ts';
import { passDescriptors, takeDescriptors } from './pass-descriptors.ts';
import {
  type DaemonCommand,
  descriptorFd,
  holderVariable,
  type KeptMount,
  type ToDaemon,
  type ToHolder,
} from './protocol.ts';

/** As a shell has it. */
const signalled = 128;

/** A daemon, as its holder sees it. */
export class DaemonProcess {
  /** Its exit status; 128 and the signal's number when one killed it. Settles once nothing it said is left unread. */
  readonly exited: Promise<number>;
  readonly #native: Native;
  readonly #child: ChildProcess;
  readonly #socket: number;

  /**
   * Starts it. Standard output and error are the holder's.
   * @param inherited - further descriptors: numbers from 4 up in the daemon
   */
  constructor(
    native: Native,
    [program, ...args]: DaemonCommand,
    inherited: readonly number[],
    onMessage: (message: ToHolder, from: DaemonProcess) => void,
  ) {
    const [ours, theirs] = native.socketPair();
    this.#native = native;
    this.#socket = ours;
    this.#child = spawn(program, args, {
      stdio: ['ignore', 'inherit', 'inherit', theirs, ...inherited, 'ipc'],
      env: { ...process.env, [holderVariable]: String(descriptorFd) },
    });
    closeSync(theirs);
    this.#child.on('message', (message) => onMessage(message as ToHolder, this));
    this.exited = new Promise((resolve) => {
      this.#child.once('error', () => resolve(signalled - 1));
      this.#child.once('exit', (status, signal) => {
        const outcome = status ?? signalled + (signal === null ? 0 : constants.signals[signal]);
        // Its last messages may still be under way.
        if (this.#child.connected) this.#child.once('disconnect', () => resolve(outcome));
        else resolve(outcome);
      });
    });
    void this.exited.finally(() => closeSync(ours));
  }

  /** 0 when it could not be started. */
  get pid(): number {
    return this.#child.pid ?? 0;
  }

  prepare(mounts: readonly KeptMount[]): void {
    this.#send({ kind: 'prepare', mounts });
  }

  /** @param fds - one a mount; they stay the holder's, too */
  serve(mounts: readonly KeptMount[], fds: readonly number[]): void {
    passDescriptors(this.#native, this.#socket, fds);
    this.#send({ kind: 'serve', mounts });
  }

  release(): void {
    this.#send({ kind: 'release' });
  }

  tell(outcome: Extract<ToDaemon, { kind: 'upgraded' | 'upgrade-failed' }>): void {
    this.#send(outcome);
  }

  /** The descriptor that came with a `keep`, the caller's. */
  takeDescriptor(): number {
    const [fd = -1] = takeDescriptors(this.#native, this.#socket, 1);
    return fd;
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** To a daemon that is gone: nothing. Its end is told by {@link exited}. */
  #send(message: ToDaemon): void {
    if (this.#child.connected) this.#child.send(message, () => undefined);
  }
}
