import { once } from 'node:events';
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http';

/** One request that went through; sizes of bodies in bytes, final once the reply has ended. */
export interface ProxiedRequest {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  status: number;
  sent: number;
  received: number;
}

/** A reverse proxy for plain http on a loopback port that writes down what passes. */
export class CountingProxy {
  /** Everything since the start, or since it was last emptied by {@link take}. */
  readonly requests: ProxiedRequest[] = [];
  readonly #server: Server;
  readonly #upstream: string;

  private constructor(upstream: string) {
    this.#upstream = upstream;
    this.#server = createServer((incoming, reply) => this.#forward(incoming, reply));
  }

  /** @param upstream - `HOST:PORT` */
  static async start(upstream: string): Promise<CountingProxy> {
    const proxy = new CountingProxy(upstream);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  /** `127.0.0.1:PORT`, as in references. */
  get host(): string {
    const address = this.#server.address();
    return `127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`;
  }

  /** What passed so far; counting starts anew. */
  take(): ProxiedRequest[] {
    return this.requests.splice(0);
  }

  async close(): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, 'close');
  }

  /** The Host header stays: the registry makes the addresses of uploads from it. */
  #forward(incoming: IncomingMessage, reply: ServerResponse): void {
    const { method = 'GET', url: path = '/', headers } = incoming;
    const counted: ProxiedRequest = { method, path, status: 0, sent: 0, received: 0 };
    this.requests.push(counted);
    const outgoing = request(`http://${this.#upstream}${path}`, { method, headers }, (answer) => {
      counted.status = answer.statusCode ?? 0;
      reply.writeHead(counted.status, answer.headers);
      answer.on('data', (chunk: Buffer) => {
        counted.received += chunk.length;
      });
      answer.pipe(reply);
    });
    outgoing.on('error', () => reply.destroy());
    reply.on('close', () => outgoing.destroy());
    incoming.on('data', (chunk: Buffer) => {
      counted.sent += chunk.length;
    });
    incoming.pipe(outgoing);
  }
}
