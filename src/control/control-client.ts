import { rmSync } from 'node:fs';
import { request } from 'node:http';
import { FuseError } from '../errors.ts';
import { reviveError } from '../packed-error.ts';
import { parseProfile } from '../profile/document.ts';
import type { Profile } from '../profile/profile.ts';
import {
  type Failure,
  type MountList,
  type MountStatus,
  mountsPath,
  type StartTrace,
  type StopTrace,
  type TraceStarted,
  type TraceStopped,
} from './protocol.ts';
import { listSocketFiles } from './socket-file.ts';

/** A process that does not answer for so long hangs: dropping the pages of a large image takes seconds. */
const timeoutMs = 60_000;

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

  #trace(action: StartTrace | StopTrace): Promise<unknown> {
    return call(this.#socket, 'POST', `${mountsPath}/${this.status.id}/trace`, action);
  }
}

/** The mounts of all processes that use a cache. What dead processes left behind is removed. */
export async function findMounts(cacheDirectory: string): Promise<RemoteMount[]> {
  const lists = await Promise.all(listSocketFiles(cacheDirectory).map(mountsOf));
  return lists.flat();
}

async function mountsOf(socket: string): Promise<RemoteMount[]> {
  try {
    const { pid, mounts } = (await call(socket, 'GET', mountsPath)) as MountList;
    return mounts.map((status) => new RemoteMount(socket, pid, status));
  } catch (error) {
    if (!(error instanceof FuseError && error.code === 'SLUICE_CONTROL_UNAVAILABLE')) throw error;
    if (isRefusal(error.cause)) rmSync(socket, { force: true });
    return [];
  }
}

function isRefusal(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ECONNREFUSED';
}

/** @returns what the other process, which is this user's, answers */
async function call(socketPath: string, method: string, path: string, body?: object): Promise<unknown> {
  const [status, text] = await exchange(socketPath, method, path, JSON.stringify(body) ?? '').catch((cause) => {
    throw new FuseError('SLUICE_CONTROL_UNAVAILABLE', `Cannot reach the process at "${socketPath}"`, { cause });
  });
  const answer: unknown = JSON.parse(text);
  if (status >= 400) throw reviveError((answer as Failure).error);
  return answer;
}

function exchange(
  socketPath: string,
  method: string,
  path: string,
  body: string,
): Promise<[status: number, text: string]> {
  return new Promise((resolve, reject) => {
    const options = { socketPath, method, path, agent: false, timeout: timeoutMs };
    const sent = request(options, (response) => {
      let text = '';
      response.setEncoding('utf8').on('error', reject);
      response.on('data', (part: string) => {
        text += part;
      });
      response.on('end', () => resolve([response.statusCode ?? 0, text]));
    });
    sent.on('timeout', () => sent.destroy(new Error(`no answer within ${timeoutMs / 1000} seconds`)));
    sent.on('error', reject).end(body);
  });
}
