import { readFileSync, readlinkSync, symlinkSync, unlinkSync } from 'node:fs';
import type { Native } from '../native.ts';

/** Exclusion of writers of one device, between processes. Readers take no lock. */
export interface Lock {
  /** Never waits. */
  tryAcquire(): boolean;
  release(): void;
}

/**
 * How long a writer waits for another process, in turns of one millisecond. A holder writes one chunk at a time, so it
 * is done in less; one that was stopped while it held the lock must not stop this process too.
 */
const LOCK_TURNS = 50;

const sleepCell = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));

/** One millisecond, the thread blocked. */
export function sleepOneTurn(): void {
  Atomics.wait(sleepCell, 0, 0, 1);
}

/**
 * Runs `action` under `lock`.
 * @returns undefined when another process kept the lock for too long; `action` was not called then
 */
export function withLock<T extends object | number | boolean>(lock: Lock, action: () => T): T | undefined {
  for (let turn = 0; !lock.tryAcquire(); turn++) {
    if (turn === LOCK_TURNS) return undefined;
    sleepOneTurn();
  }
  try {
    return action();
  } finally {
    lock.release();
  }
}

/** flock(2): the kernel gives it up when its holder dies. */
export class FlockLock implements Lock {
  readonly #native: Pick<Native, 'flock'>;
  readonly #fd: number;

  constructor(native: Pick<Native, 'flock'>, fd: number) {
    this.#native = native;
    this.#fd = fd;
  }

  tryAcquire(): boolean {
    return this.#native.flock(this.#fd, 'exclusive', false);
  }

  release(): void {
    this.#native.flock(this.#fd, 'unlock', false);
  }
}

/** A symbolic link appears with its content in one system call: its target names the holder. */
export class LinkLock implements Lock {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  tryAcquire(): boolean {
    return acquireLink(this.#path, 0);
  }

  release(): void {
    unlinkSync(this.#path);
  }
}

/** A holder may die while it removes a dead holder's lock, and so on; more than this in a row is left for a person. */
const MAXIMUM_TAKEOVER_DEPTH = 3;

/**
 * A lock whose holder is dead is removed under a second lock of the same kind, `PATH~`, and only when it is still the
 * same one: of two processes that saw the dead holder, the slower cannot remove the quicker one's new lock.
 */
function acquireLink(path: string, depth: number): boolean {
  if (createLink(path)) return true;
  const holder = readLink(path);
  if (holder === undefined || depth === MAXIMUM_TAKEOVER_DEPTH || !isDead(holder)) return false;
  const takeover = `${path}~`;
  if (!acquireLink(takeover, depth + 1)) return false;
  try {
    if (readLink(path) === holder) unlinkSync(path);
  } finally {
    unlinkSync(takeover);
  }
  return createLink(path);
}

let acquisitions = 0;

function createLink(path: string): boolean {
  try {
    self ??= identify(process.pid);
    // The counter makes every acquisition a different lock to those who watch one.
    symlinkSync(`${self}/${acquisitions++}`, path);
    return true;
  } catch (error) {
    if (errorCode(error) === 'EEXIST') return false;
    throw error;
  }
}

function readLink(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

let self: string | undefined;

/**
 * boot / pid namespace / pid / start time: process ids come round again, and mean nothing in another namespace.
 * Short, because ext4 keeps a target below 60 bytes in the inode, and needs a block for a longer one.
 * Source: proc(5), field 22 of /proc/PID/stat.
 */
function identify(pid: number): string {
  const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').slice(0, 8);
  const namespace = readlinkSync('/proc/self/ns/pid').replace(/\D/g, '');
  return `${boot}/${namespace}/${pid}/${startTime(pid)}`;
}

function startTime(pid: number): string {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
}

function isDead(holder: string): boolean {
  const [boot, namespace, pid = '', start] = holder.split('/');
  self ??= identify(process.pid);
  const [ownBoot, ownNamespace] = self.split('/');
  if (boot !== ownBoot) return true;
  // Another namespace's processes cannot be seen from here: its lock stays until somebody there removes it.
  if (namespace !== ownNamespace) return false;
  try {
    return startTime(Number.parseInt(pid, 10)) !== start;
  } catch {
    return true;
  }
}

function errorCode(error: unknown): unknown {
  return (error as NodeJS.ErrnoException).code;
}
