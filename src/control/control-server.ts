import { once } from 'node:events';
import { chmodSync, renameSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { NotFoundError, SluiceError, UsageError } from '../errors.ts';
import type { ServedImage } from '../mount/serve-image.ts';
import { packError } from '../packed-error.ts';
import { checkProfileName } from '../profile/profile-store.ts';
import { type Failure, type MountList, type MountStatus, mountsPath } from './protocol.ts';
import { newSocketFile } from './socket-file.ts';
import { startTrace, stopTrace } from './trace-calls.ts';

/** No request has more to say; without a cap one without end fills memory. */
const maximumRequestBytes = 64 * 1024;

const tracePath = new RegExp(`^${mountsPath}/([0-9]{1,9})/trace$`);

/** Lets other processes of this user look at the mounts of this one, and tell them what to do. */
export class ControlServer {
  /** The socket. */
  readonly file: string;
  readonly #server: Server;
  readonly #mounts = new Map<number, ServedImage>();
  #lastId = 0;

  private constructor(file: string) {
    this.file = file;
    this.#server = createServer((request, response) => {
      void this.#answer(request).then(([status, body]) => {
        response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
      });
    });
    // It must not keep the process alive when the last mount has ended.
    this.#server.unref();
  }

  /**
   * @param cacheDirectory - processes that use one cache find each other
   * @returns answers already
   * @throws {UsageError} SLUICE_OPTION_INVALID when the socket's path is too long
   */
  static async listen(cacheDirectory: string): Promise<ControlServer> {
    const { file, temporary } = newSocketFile(cacheDirectory);
    const control = new ControlServer(file);
    control.#server.listen(temporary);
    await once(control.#server, 'listening');
    chmodSync(temporary, 0o600);
    renameSync(temporary, file);
    return control;
  }

  /** Until the mount has ended. */
  add(mount: ServedImage): void {
    const id = ++this.#lastId;
    this.#mounts.set(id, mount);
    const remove = (): void => void this.#mounts.delete(id);
    mount.ended.then(remove, remove);
  }

  /** Removes the socket. */
  close(): void {
    rmSync(this.file, { force: true });
    this.#server.close();
    this.#server.closeAllConnections();
  }

  async #answer(request: IncomingMessage): Promise<[status: number, body: unknown]> {
    try {
      return [200, await this.#act(request)];
    } catch (error) {
      return [statusOf(error), { error: packError(error) } satisfies Failure];
    }
  }

  async #act(request: IncomingMessage): Promise<unknown> {
    const { method, url = '' } = request;
    if (method === 'GET' && url === mountsPath) return this.#list();
    const id = tracePath.exec(url)?.[1];
    if (method !== 'POST' || id === undefined) {
      throw new NotFoundError(
        'SLUICE_PATH_NOT_FOUND',
        `Cannot ${method} "${url.slice(0, 100)}": there is no such call`,
      );
    }
    const mount = this.#mounts.get(Number(id));
    if (mount === undefined) throw new NotFoundError('SLUICE_MOUNT_NOT_FOUND', `Cannot find mount ${id}`);
    const { action, profile } = await readJson(request);
    if (action === 'start') return startTrace(mount);
    if (action === 'stop' && typeof profile === 'string') return stopTrace(mount, checkProfileName(profile));
    throw new UsageError('SLUICE_OPTION_INVALID', 'Cannot trace: want the action start, or stop and a profile');
  }

  #list(): MountList {
    const mounts = Array.from(this.#mounts, ([id, { content, mountPoint, trace }]): MountStatus => {
      const { reference, root } = content.image;
      return { id, image: reference, root, mountPoint, isRecording: trace?.isActive === true };
    });
    return { pid: process.pid, mounts };
  }
}

async function readJson(request: IncomingMessage): Promise<Record<string, unknown>> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    length += part.length;
    if (length > maximumRequestBytes) break;
    parts.push(part);
  }
  try {
    const value: unknown = JSON.parse(Buffer.concat(parts).toString());
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
  } catch {
    // Said below.
  }
  throw new UsageError('SLUICE_OPTION_INVALID', 'Cannot read request: want a JSON object');
}

function statusOf(error: unknown): number {
  if (error instanceof NotFoundError) return 404;
  if (error instanceof UsageError) return error.code === 'SLUICE_TRACE_STATE' ? 409 : 400;
  return error instanceof SluiceError ? 502 : 500;
}
