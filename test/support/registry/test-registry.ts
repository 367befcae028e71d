import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import { apiRequest, closeServer, hostOf, listen, writeReply } from '../../../src/demo/http-server.ts';
import { type ApiReply, type ApiRequest, errorReply, RegistryRoutes } from '../../../src/demo/registry-routes.ts';
import { RegistryStore } from '../../../src/demo/registry-store.ts';
import { AuthGate, type AuthOptions } from './auth.ts';
import { Dropped, Faults, replacement, spoilReply, spoilRequest, type Wire } from './faults.ts';
import { kindOf, RequestLog, type RequestRecord } from './kinds.ts';

export interface TestRegistryOptions {
  readonly auth?: AuthOptions;
  /** Blobs are answered with a redirect to a signed URL on another host (another port), as cloud registries do. */
  readonly redirectBlobs?: boolean;
  /** False: no referrers API, and no OCI-Subject header. */
  readonly referrers?: boolean;
}

/**
 * The registry tests run against: the one of `sluice demo`, in this process, on loopback, with everything that can go
 * wrong between it and a client.
 *
 *     const registry = await TestRegistry.start();
 *     // push with openRegistryTarget(parseReference(`docker://${registry.host}/name:tag`))
 *     registry.requests.clear();
 *     registry.faults.add({ on: 'blob', skip: 1, times: 2, fault: { kind: 'truncate', after: 100 } });
 *     …
 *     expect(registry.requests.bytes('blob')).toBeLessThan(4096);
 *     await registry.close();
 *
 * `faults` strike requests by kind, method, path and count (see `Fault`); `requests` holds every request and the
 * bytes it was sent. Signed URLs and tokens expire when a test says so, never by time.
 */
export class TestRegistry {
  readonly faults = new Faults();
  readonly requests = new RequestLog();
  readonly #options: TestRegistryOptions;
  readonly #gate: AuthGate;
  readonly #folder: string;
  readonly #routes: RegistryRoutes;
  readonly #signatures = new Set<string>();
  /** Connections the registry accepted so far. */
  connections = 0;
  #server: Server | undefined;
  #storage: Server | undefined;

  private constructor(folder: string, options: TestRegistryOptions) {
    this.#folder = folder;
    this.#options = options;
    this.#gate = new AuthGate(options.auth);
    this.#routes = new RegistryRoutes(new RegistryStore(folder));
  }

  static async start(options: TestRegistryOptions = {}): Promise<TestRegistry> {
    const folder = await mkdtemp(path.join(tmpdir(), 'sluice-registry-'));
    const registry = new TestRegistry(folder, options);
    registry.#server = await registry.#listen(0);
    registry.#storage = await listen((incoming, response) => registry.#serve(incoming, response), 0);
    return registry;
  }

  /** `127.0.0.1:PORT`, as in references. */
  get host(): string {
    return this.#hostOf(this.#server);
  }

  /** `http://127.0.0.1:PORT`. */
  get url(): string {
    return `http://${this.host}`;
  }

  /** From now on the signed URLs given out so far answer 403. */
  expireSignedUrls(): void {
    this.#signatures.clear();
  }

  /** From now on the tokens given out so far answer 401. */
  revokeTokens(): void {
    this.#gate.revokeTokens();
  }

  /** Closes all connections and the listening socket: to clients, an outage. {@link resume} ends it on the same port. */
  async pause(): Promise<void> {
    if (this.#server) await closeServer(this.#server);
  }

  async resume(port: number): Promise<void> {
    this.#server = await this.#listen(port);
  }

  async close(): Promise<void> {
    for (const server of [this.#server, this.#storage]) {
      if (server?.listening) await closeServer(server);
    }
    await rm(this.#folder, { recursive: true, force: true });
  }

  async #listen(port: number): Promise<Server> {
    const server = await listen((incoming, response) => this.#serve(incoming, response), port);
    return server.on('connection', () => {
      this.connections++;
    });
  }

  async #serve(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const request = apiRequest(incoming);
    const record: RequestRecord = {
      kind: kindOf(request.target),
      method: request.method,
      target: request.target,
      range: request.headers.range,
      authorization: request.headers.authorization?.split(' ')[0],
      status: 0,
      bytes: 0,
    };
    this.requests.record(record);
    const faults = this.faults.strike(request);
    for (const fault of faults) if (fault.kind === 'delay') await sleep(fault.ms);
    const drop = faults.find((fault) => fault.kind === 'drop');
    if (drop && drop.kind === 'drop' && !drop.received) throw new Dropped();
    if (faults.some((fault) => fault.kind === 'garbage')) {
      response.socket?.end('this is no HTTP\r\n\r\n');
      return;
    }
    const reply = replacement(faults) ?? (await this.#answer(spoilRequest(request, faults)));
    if (drop) throw new Dropped();
    record.status = reply.status;
    const spoilt = spoilReply(reply, faults, wireOf(response));
    await writeReply({ ...spoilt, body: counted(spoilt.body, record) }, request.method === 'HEAD', response);
  }

  async #answer(request: ApiRequest): Promise<ApiReply> {
    const kind = kindOf(request.target);
    if (kind === 'token') return this.#gate.token(request);
    if (kind === 'signed') return this.#signed(request);
    const refusal = this.#gate.refuse(request, this.host);
    if (refusal) return refusal;
    if (kind === 'referrers' && this.#options.referrers === false) return errorReply(404, 'UNSUPPORTED');
    const reply = await this.#routes.handle(request);
    if (kind === 'blob' && request.method === 'GET' && reply.status < 300 && this.#options.redirectBlobs) {
      return this.#redirect(request);
    }
    if (this.#options.referrers !== false) return reply;
    const { 'oci-subject': _, ...headers } = reply.headers;
    return { ...reply, headers };
  }

  #redirect(request: ApiRequest): ApiReply {
    const signature = randomUUID();
    this.#signatures.add(signature);
    const location = `http://${this.#hostOf(this.#storage)}/signed${request.target}?signature=${signature}`;
    return { status: 307, headers: { location, 'content-length': '0' }, body: new Uint8Array() };
  }

  async #signed(request: ApiRequest): Promise<ApiReply> {
    const url = new URL(request.target, 'http://x');
    // Storage services refuse a request that is signed and authorized at once: one more reason not to pass on tokens.
    if (request.headers.authorization !== undefined) return errorReply(400, 'INVALID_ARGUMENT');
    if (!this.#signatures.has(url.searchParams.get('signature') ?? '')) return errorReply(403, 'DENIED');
    return this.#routes.handle({ ...request, target: url.pathname.replace(/^\/signed/, '') });
  }

  #hostOf(server: Server | undefined): string {
    if (server === undefined) throw new TypeError('The registry has not been started');
    return hostOf(server);
  }
}

function wireOf(response: ServerResponse): Wire {
  const closed = new Promise((resolve) => response.once('close', resolve));
  const flushed = async (): Promise<void> => {
    response.flushHeaders();
    while (!response.closed && response.writableLength + (response.socket?.writableLength ?? 0) > 0)
      await setImmediate();
    await setImmediate();
  };
  return { closed, flushed, reset: () => void response.socket?.resetAndDestroy() };
}

async function* counted(body: ApiReply['body'], record: RequestRecord): AsyncGenerator<Uint8Array> {
  for await (const chunk of body instanceof Uint8Array ? [body] : body) {
    record.bytes += chunk.byteLength;
    if (chunk.byteLength > 0) yield chunk;
  }
}
