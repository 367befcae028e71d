import { rmSync } from 'node:fs';
import { FuseError } from '../errors.ts';
import { parseProfile } from '../profile/document.ts';
import type { Profile } from '../profile/profile.ts';
import { call, isRefusal } from './exchange.ts';
import {
  type FillRequest,
  type MountList,
  type MountStatus,
  mountsPath,
  type StartTrace,
  type StopTrace,
  type TraceStarted,
  type TraceStopped,
  type UnmountRequest,
} from './protocol.ts';
import { isDaemonSocket, listSocketFiles } from './socket-file.ts';

/** A recording that has ended. */
export interface EndedTrace {
  readonly profile: Profile;
  /** How many reads are not in it, because there were too many. */
  readonly lost: number;
}

/** A mount of another process. Its calls throw what that process threw, and FuseError SLUICE_CONTROL_UNAVAILABLE. */
export class RemoteMount {
  readonly status: MountStatus;
  readonly pid: number;
  readonly #socket: string;

  constructor(socket: string, pid: number, status: MountStatus) {
    this.#socket = socket;
    this.pid = pid;
    this.status = status;
  }

  /** Whether a daemon serves it, which serves others, too. */
  get isDaemons(): boolean {
    return isDaemonSocket(this.#socket);
  }

  /**
   * Begins a recording, and drops what the page cache has of the mount.
   * @throws {UsageError} SLUICE_TRACE_STATE when there is one
   */
  async startTrace(): Promise<TraceStarted> {
    return (await this.#trace({ action: 'start' })) as TraceStarted;
  }

  /** @throws {UsageError} SLUICE_TRACE_STATE when there is none */
  async stopTrace(name: string): Promise<EndedTrace> {
    const { profile, lost } = (await this.#trace({ action: 'stop', profile: name })) as TraceStopped;
    return { profile: parseProfile(Buffer.from(JSON.stringify(profile))), lost };
  }

  /** @returns how it is then */
  async fill(body: FillRequest): Promise<MountStatus> {
    return (await call(this.#socket, 'POST', `${this.#path}/fill`, { body })) as MountStatus;
  }

  /** Of a daemon's. Returns when the mount has ended, with `lazy` when it is out of the tree. */
  async unmount(body: UnmountRequest): Promise<void> {
    await call(this.#socket, 'DELETE', this.#path, { body });
  }

  get #path(): string {
    return `${mountsPath}/${this.status.id}`;
  }

  #trace(body: StartTrace | StopTrace): Promise<unknown> {
    return call(this.#socket, 'POST', `${this.#path}/trace`, { body });
  }
}

/** The mounts of all processes that use a cache. What dead processes left behind is removed. */
export async function findMounts(cacheDirectory: string): Promise<RemoteMount[]> {
  const lists = await Promise.all(listSocketFiles(cacheDirectory).map(mountsAt));
  return lists.flat();
}

/** The mounts of the process that listens on a socket; none when nobody does. */
export async function mountsAt(socket: string): Promise<RemoteMount[]> {
  try {
    const { pid, mounts } = (await call(socket, 'GET', mountsPath)) as MountList;
    return mounts.map((status) => new RemoteMount(socket, pid, status));
  } catch (error) {
    if (!(error instanceof FuseError && error.code === 'SLUICE_CONTROL_UNAVAILABLE')) throw error;
    // A daemon that is being replaced listens again in a moment.
    if (isRefusal(error) && !isDaemonSocket(socket)) rmSync(socket, { force: true });
    return [];
  }
}
