import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { type IncomingMessage, request, type ServerResponse } from 'node:http';
import {
  createSecureServer,
  type Http2SecureServer,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import { createServer, type Server } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import path from 'node:path';
import { makeTemporaryDirectory, removeTemporaryDirectory } from './temporary.ts';

/** Headers that are of one connection, and that HTTP/2 does not know. */
const hopByHop = /^(connection|keep-alive|proxy-|transfer-encoding|upgrade|te$|:)/;

/** https, HTTP/2 or 1.1 as the client likes, before a server of plain http: with a certificate of its own. Takes openssl. */
export class TlsFront {
  /** PEM: what a client has to trust. */
  readonly ca: string;
  /** `2.0 GET /v2/…` */
  readonly asked: string[] = [];
  /** Called for every answer of HTTP/2, before its body. */
  onAnswer: ((stream: ServerHttp2Stream) => void) | undefined;
  readonly #folder: string;
  readonly #server: Http2SecureServer | Server;
  readonly #sockets = new Set<Socket>();
  readonly #sessions = new Set<ServerHttp2Session>();

  private constructor(upstream: string, folder: string, http2: boolean) {
    this.#folder = folder;
    this.ca = readFileSync(path.join(folder, 'cert.pem'), 'utf8');
    const key = readFileSync(path.join(folder, 'key.pem'), 'utf8');
    const serve = (incoming: Http2ServerRequest | IncomingMessage, reply: Http2ServerResponse | ServerResponse): void =>
      this.#forward(incoming, reply, upstream);
    this.#server = http2
      ? createSecureServer({ allowHTTP1: true, cert: this.ca, key }, serve).on('session', (session) =>
          this.#sessions.add(session.on('error', () => undefined)),
        )
      : createServer({ cert: this.ca, key }, serve);
    this.#server.on('connection', (socket: Socket) => this.#sockets.add(socket));
  }

  /** @param upstream - `HOST:PORT` @param http2 - false: a server that does not speak it */
  static async start(upstream: string, http2 = true): Promise<TlsFront> {
    const folder = makeTemporaryDirectory();
    const files = ['-keyout', path.join(folder, 'key.pem'), '-out', path.join(folder, 'cert.pem')];
    const names = ['-subj', '/CN=test', '-addext', 'subjectAltName=IP:127.0.0.1,DNS:registry.test', '-days', '2'];
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
    execFileSync('openssl', ['req', '-x509', ...key, ...names, ...files], { stdio: 'ignore' });
    const front = new TlsFront(upstream, folder, http2);
    front.#server.listen(0, '127.0.0.1');
    await once(front.#server, 'listening');
    return front;
  }

  /** `127.0.0.1:PORT`. */
  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** TCP connections so far. */
  get connections(): number {
    return this.#sockets.size;
  }

  /** Says GOAWAY on every connection, as a server does that is about to be restarted. */
  goAway(): void {
    for (const session of this.#sessions) if (!session.closed) session.goaway();
  }

  async close(): Promise<void> {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await removeTemporaryDirectory(this.#folder);
  }

  #forward(
    incoming: Http2ServerRequest | IncomingMessage,
    reply: Http2ServerResponse | ServerResponse,
    upstream: string,
  ): void {
    const stream = 'stream' in reply ? reply.stream : undefined;
    this.asked.push(`${incoming.httpVersion} ${incoming.method} ${incoming.url}`);
    const headers = Object.fromEntries(Object.entries(incoming.headers).filter(([name]) => !hopByHop.test(name)));
    const { method } = incoming;
    const outgoing = request(`http://${upstream}${incoming.url}`, { method, headers }, (answer) => {
      const kept = Object.entries(answer.headers).filter(([name]) => !hopByHop.test(name));
      reply.writeHead(answer.statusCode ?? 500, Object.fromEntries(kept));
      answer.on('error', () => (stream ?? reply).destroy());
      if (stream !== undefined) this.onAnswer?.(stream);
      answer.pipe(reply);
    });
    outgoing.on('error', () => (stream ?? reply).destroy());
    reply.on('error', () => undefined).on('close', () => outgoing.destroy());
    incoming.pipe(outgoing);
  }
}
