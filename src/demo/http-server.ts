import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pipeline } from 'node:stream/promises';
import type { ApiReply, ApiRequest } from './registry-routes.ts';

export function apiRequest(incoming: IncomingMessage): ApiRequest {
  const headers = Object.entries(incoming.headers).map(([name, value]) => [name, [value].flat()[0]]);
  return {
    method: incoming.method ?? 'GET',
    target: incoming.url ?? '/',
    headers: Object.fromEntries(headers),
    body: incoming,
  };
}

/** Writes a reply; when its body fails, or the client leaves, the connection is closed. */
export async function writeReply(reply: ApiReply, head: boolean, response: ServerResponse): Promise<void> {
  response.writeHead(reply.status, reply.headers);
  if (head) response.end();
  else await pipeline(reply.body instanceof Uint8Array ? [reply.body] : reply.body, response);
}

/** Listens on loopback. A handler that fails closes its connection without an answer. */
export async function listen(
  handle: (incoming: IncomingMessage, response: ServerResponse) => Promise<void>,
  port: number,
): Promise<Server> {
  const server = createServer((incoming, response) => {
    handle(incoming, response).catch(() => response.destroy());
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

/** `127.0.0.1:PORT`. */
export function hostOf(server: Server): string {
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Stops listening and closes all connections. */
export async function closeServer(server: Server): Promise<void> {
  const closed = once(server, 'close');
  server.close();
  server.closeAllConnections();
  await closed;
}
