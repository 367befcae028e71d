import { once } from 'node:events';
import { lstatSync, renameSync, rmSync, unlinkSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type ErrorCode, NotFoundError, SluiceError, UsageError } from '../errors.ts';
import { packError } from '../packed-error.ts';
import type { Failure } from './protocol.ts';
import type { SocketFile } from './socket-file.ts';

/** No request has more to say, certificates included; without a cap one without end fills memory. */
const maximumRequestBytes = 256 * 1024;

/** An answer that is no JSON. */
export class TextAnswer {
  readonly type: string;
  readonly text: string;

  constructor(type: string, text: string) {
    this.type = type;
    this.text = text;
  }
}

/** One call of an API. */
export interface Route {
  readonly method: 'GET' | 'POST' | 'DELETE';
  /** Of the whole path. */
  readonly path: RegExp;
  /** Default 200. */
  readonly status?: number;
  /**
   * @param parameters - what the path's groups matched
   * @param body - the request's JSON object; empty when there was none
   * @returns what goes out as JSON, or a {@link TextAnswer}
   */
  answer(parameters: readonly string[], body: Readonly<Record<string, unknown>>): unknown;
}

/** Where to listen: on a socket file, on a descriptor that listens already, or on an address. */
export type ListenPlace = SocketFile | { readonly fd: number } | { readonly host: string; readonly port: number };

/** An API of JSON over HTTP, for the user this process belongs to and nobody else. */
export class JsonServer {
  readonly #server: Server;
  readonly #routes: readonly Route[];
  #own: { readonly file: string; readonly inode: number } | undefined;

  private constructor(routes: readonly Route[]) {
    this.#routes = routes;
    this.#server = createServer((request, response) => void this.#answer(request, response));
    // It must not keep the process alive when there is nothing left to serve.
    this.#server.unref();
  }

  /** @returns answers already. The socket is this user's, 0600, and takes the place of one that is there */
  static async listen(place: ListenPlace, routes: readonly Route[]): Promise<JsonServer> {
    const server = new JsonServer(routes);
    if (!('file' in place)) {
      server.#server.listen(place);
      await once(server.#server, 'listening');
      return server;
    }
    const { file, temporary } = place;
    rmSync(temporary, { force: true });
    // The socket is bound within the call: never, not even for a moment, may anybody else connect.
    const mask = process.umask(0o177);
    server.#server.listen(temporary);
    process.umask(mask);
    await once(server.#server, 'listening');
    renameSync(temporary, file);
    server.#own = { file, inode: lstatSync(file).ino };
    return server;
  }

  /** Takes no more requests, and lets those under way end. The socket goes, unless another process has taken its place. */
  close(): void {
    const own = this.#own;
    if (own !== undefined && lstatSync(own.file, { throwIfNoEntry: false })?.ino === own.inode) unlinkSync(own.file);
    this.#server.close();
    this.#server.closeIdleConnections();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [status, body] = await this.#outcome(request);
    if (!request.complete) response.shouldKeepAlive = false;
    if (body instanceof TextAnswer) response.writeHead(status, { 'content-type': body.type }).end(body.text);
    else response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  }

  async #outcome(request: IncomingMessage): Promise<[status: number, body: unknown]> {
    try {
      const { method, url = '' } = request;
      for (const route of this.#routes) {
        const match = route.method === method ? route.path.exec(url) : null;
        if (match === null) continue;
        const body = method === 'GET' ? {} : await readJson(request);
        return [route.status ?? 200, await route.answer(match.slice(1), body)];
      }
      throw new NotFoundError(
        'SLUICE_PATH_NOT_FOUND',
        `Cannot ${method} "${url.slice(0, 100)}": there is no such call`,
      );
    } catch (error) {
      return [statusOf(error), { error: packError(error) } satisfies Failure];
    }
  }
}

async function readJson(request: IncomingMessage): Promise<Record<string, unknown>> {
  const parts: Buffer[] = [];
  let length = 0;
  // The rest of what is too long is not read, and its sender is told why all the same.
  for await (const part of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    length += part.length;
    if (length > maximumRequestBytes)
      throw new UsageError(
        'SLUICE_OPTION_INVALID',
        `Cannot read request: it is longer than ${maximumRequestBytes} bytes`,
      );
    parts.push(part);
  }
  if (length === 0) return {};
  try {
    const value: unknown = JSON.parse(Buffer.concat(parts).toString());
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch {
    // Said below.
  }
  throw new UsageError('SLUICE_OPTION_INVALID', 'Cannot read request: want a JSON object');
}

/** Where the error's class does not say it. */
const statusOfCode: Readonly<Partial<Record<ErrorCode, number>>> = {
  SLUICE_TRACE_STATE: 409,
  SLUICE_CANCELLED: 409,
  SLUICE_DAEMON_ENDS: 503,
};

function statusOf(error: unknown): number {
  if (!(error instanceof SluiceError)) return 500;
  const byClass = error instanceof NotFoundError ? 404 : error instanceof UsageError ? 400 : 502;
  return statusOfCode[error.code] ?? byClass;
}
