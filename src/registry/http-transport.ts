import type { Agent, Dispatcher } from 'undici';
import { RegistryError, UsageError } from '../errors.ts';
import { Dialler } from './dialler.ts';
import { networkError } from './response-error.ts';
import { loadUndici } from './undici.ts';
import { redactUrl } from './url.ts';

const defaultConnections = 8;
const defaultStallMs = 30_000;
const connectMs = 10_000;
/** Longer than the pauses of a container that starts, shorter than what load balancers keep (60 s). */
const keepAliveMs = 30_000;

export interface HttpRequest {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  /** In memory, so that it can be sent again. */
  readonly body?: Uint8Array | string;
  readonly signal?: AbortSignal | undefined;
}

/** An answer whose body still has to be read or discarded: until then it holds its connection. */
export class HttpResponse {
  readonly url: URL;
  readonly status: number;
  readonly #headers: Dispatcher.ResponseData['headers'];
  readonly #body: Dispatcher.ResponseData['body'];
  readonly #signal: AbortSignal | undefined;

  constructor(request: HttpRequest, response: Dispatcher.ResponseData) {
    this.url = request.url;
    this.status = response.statusCode;
    this.#headers = response.headers;
    this.#body = response.body;
    this.#signal = request.signal;
    // The error reaches whoever reads; without a listener a discarded body's error would end the process.
    this.#body.on('error', () => {});
  }

  /** @param name - in lower case; of a header that is there twice, the first */
  header(name: string): string | undefined {
    return this.headers(name)[0];
  }

  headers(name: string): readonly string[] {
    const value = this.#headers[name];
    return value === undefined ? [] : [value].flat();
  }

  /**
   * Streams the body. Ending the iteration early closes the connection.
   * @throws {RegistryError} SLUICE_REGISTRY_UNREACHABLE, SLUICE_REGISTRY_TIMEOUT
   */
  async *chunks(): AsyncGenerator<Uint8Array> {
    try {
      for await (const chunk of this.#body) yield chunk as Uint8Array;
    } catch (error) {
      throw networkError(error, this.url, this.#signal);
    }
  }

  /**
   * Reads the whole body.
   * @param maximum - bytes; an answer without end must not fill memory
   * @throws {RegistryError} SLUICE_REGISTRY_PROTOCOL when it is longer, and as {@link chunks}
   */
  async bytes(maximum: number): Promise<Uint8Array> {
    const chunks: Uint8Array[] = [];
    let length = 0;
    for await (const chunk of this.chunks()) {
      length += chunk.byteLength;
      if (length > maximum) {
        const url = redactUrl(this.url);
        throw new RegistryError('SLUICE_REGISTRY_PROTOCOL', `Cannot read "${url}": more than ${maximum} bytes`);
      }
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  }

  /** Gives the connection back: a short body is read to its end, a long one cut off. Never fails. */
  async discard(): Promise<void> {
    const shortBytes = 64 * 1024;
    await this.#body.dump({ limit: shortBytes }).catch(() => {});
  }
}

export interface HttpTransportOptions {
  readonly ca?: string | undefined;
  readonly connections?: number | undefined;
  readonly stallMs?: number | undefined;
}

/** Single HTTP exchanges over kept connections. Neither redirects, authentication nor retries: those are its callers'. */
export class HttpTransport {
  readonly #options: Agent.Options & { readonly connections: number };
  readonly #dialler: Dialler;
  #agent: Agent | undefined;
  #isClosed = false;

  constructor(options: HttpTransportOptions) {
    const stallMs = options.stallMs ?? defaultStallMs;
    this.#dialler = new Dialler(options.ca);
    this.#options = {
      connections: options.connections ?? defaultConnections,
      pipelining: 1,
      keepAliveTimeout: keepAliveMs,
      headersTimeout: stallMs,
      bodyTimeout: stallMs,
      allowH2: false,
      connect: { timeout: connectMs, ...(options.ca === undefined ? {} : { ca: options.ca }) },
    };
  }

  /** Opens connections for requests to come. Nothing happens when there were requests to this origin before. */
  dial(origin: URL, connections: number): void {
    this.#dialler.dial(origin, Math.min(connections, this.#options.connections));
  }

  /**
   * @throws {RegistryError} SLUICE_REGISTRY_UNREACHABLE, SLUICE_REGISTRY_TIMEOUT, SLUICE_REGISTRY_PROTOCOL; a status
   * is never an error here
   * @throws {UsageError} SLUICE_CANCELLED once it is closed: nothing is gained by trying again
   */
  async send(request: HttpRequest): Promise<HttpResponse> {
    const { url, method, headers, body, signal } = request;
    signal?.throwIfAborted();
    if (this.#isClosed)
      throw new UsageError('SLUICE_CANCELLED', `Cannot reach "${redactUrl(url)}": it was closed here`);
    try {
      this.#dialler.dial(url, 1);
      this.#agent ??= openAgent(this.#options, this.#dialler);
      const response = await this.#agent.request({
        origin: url.origin,
        path: `${url.pathname}${url.search}`,
        method,
        // Bytes are addressed by what they are stored as: a transport encoding would shift every range.
        headers: { 'user-agent': 'sluice', 'accept-encoding': 'identity', ...headers },
        body: body ?? null,
        // Unset, undici closes the connection after each HEAD, to cope with servers that send a body all the same.
        reset: false,
        ...(signal ? { signal } : {}),
      });
      return new HttpResponse(request, response);
    } catch (error) {
      throw networkError(error, url, signal);
    }
  }

  /** Requests under way fail, and all later ones. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#dialler.close();
    await this.#agent?.destroy();
  }
}

/** Loads undici with the first request: the mount of a known image need not wait for it. */
function openAgent(options: Agent.Options, dialler: Dialler): Agent {
  const { Agent, buildConnector } = loadUndici();
  const connect = buildConnector(typeof options.connect === 'object' ? options.connect : {});
  return new Agent({
    ...options,
    connect: (target, callback) => {
      const dialled = dialler.take(`${target.protocol}//${target.host}`);
      if (dialled === undefined) connect(target, callback);
      else
        dialled.then(
          (socket) => callback(null, socket),
          (error) => callback(error, null),
        );
    },
  });
}
