import { request } from 'node:http';
import { FuseError } from '../errors.ts';
import { reviveError } from '../packed-error.ts';
import type { Failure } from './protocol.ts';

/** A process that does not answer for so long hangs: dropping the pages of a large image takes seconds. */
const patienceMs = 60_000;

export interface CallOptions {
  readonly body?: object | undefined;
  /** Default: a minute. `Infinity` for a call whose answer takes as long as a download. */
  readonly timeoutMs?: number | undefined;
}

/**
 * Calls another process of this user.
 * @returns what it answers: parsed JSON
 * @throws {FuseError} SLUICE_CONTROL_UNAVAILABLE when it cannot be reached
 * @throws what that process threw
 */
export async function call(
  socket: string,
  method: 'GET' | 'POST' | 'DELETE',
  path: string,
  { body, timeoutMs = patienceMs }: CallOptions = {},
): Promise<unknown> {
  const text = JSON.stringify(body) ?? '';
  const [status, answer] = await exchange(socket, method, path, text, timeoutMs).catch((cause) => {
    throw new FuseError('SLUICE_CONTROL_UNAVAILABLE', `Cannot reach the process at "${socket}"`, { cause });
  });
  const parsed = parse(answer, socket);
  if (status >= 400) throw reviveError((parsed as Failure).error);
  return parsed;
}

/** Whether the request was refused by everybody: nobody listens there, or a daemon that takes none any more. */
export function isRefusal(error: unknown): boolean {
  if (error instanceof FuseError && error.code === 'SLUICE_DAEMON_ENDS') return true;
  const cause = error instanceof FuseError ? error.cause : error;
  return cause instanceof Error && 'code' in cause && (cause.code === 'ECONNREFUSED' || cause.code === 'ENOENT');
}

function parse(answer: string, socket: string): unknown {
  try {
    return JSON.parse(answer);
  } catch (cause) {
    throw new FuseError('SLUICE_CONTROL_UNAVAILABLE', `Cannot talk to the process at "${socket}": it is not sluice`, {
      cause,
    });
  }
}

function exchange(
  socketPath: string,
  method: string,
  path: string,
  body: string,
  timeoutMs: number,
): Promise<[status: number, text: string]> {
  return new Promise((resolve, reject) => {
    const timeout = Number.isFinite(timeoutMs) ? { timeout: timeoutMs } : {};
    // Of itself, Node does not say it of a DELETE, and its body would be taken for the next request.
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
    const sent = request({ socketPath, method, path, headers, agent: false, ...timeout }, (response) => {
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
