import type { Dispatcher } from 'undici';
import { RegistryError, UsageError } from '../errors.ts';
import { type RequestEnded, registryChannels } from './channels.ts';
import { Connections } from './connections.ts';
import type { RegistryHost } from './registry-host.ts';
import type { RegistryOptions } from './registry-options.ts';
import { networkError } from './response-error.ts';
import { redactUrl } from './url.ts';

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
  #bytes = 0;

  /** @param startedAt - on the clock of `performance` */
  constructor(request: HttpRequest, response: Dispatcher.ResponseData, startedAt: number) {
    this.url = request.url;
    this.status = response.statusCode;
    this.#headers = response.headers;
    this.#body = response.body;
    this.#signal = request.signal;
    // The error reaches whoever reads; without a listener a discarded body's error would end the process.
    this.#body.on('error', () => {});
    if (registryChannels.request.hasSubscribers) {
      this.#body.once('close', () => publish(this.url, this.status, startedAt, this.#bytes));
    }
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
      for await (const chunk of this.#body as AsyncIterable<Uint8Array>) {
        this.#bytes += chunk.byteLength;
        yield chunk;
      }
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

function publish(url: URL, status: number, startedAt: number, bytes: number): void {
  const event: RequestEnded = { host: url.host, status, durationMs: performance.now() - startedAt, bytes };
  registryChannels.request.publish(event);
}

/** Single HTTP exchanges over kept connections. Neither redirects, authentication nor retries: those are its callers'. */
export class HttpTransport {
  readonly #connections: Connections;
  #isClosed = false;

  constructor(host: RegistryHost, options: RegistryOptions) {
    this.#connections = new Connections(host, options);
  }

  /** Opens connections for requests to come. Nothing happens when there were requests to this origin before. */
  dial(origin: URL, connections: number): void {
    this.#connections.dial(origin, connections);
  }

  /**
   * @throws {RegistryError} SLUICE_REGISTRY_UNREACHABLE, SLUICE_REGISTRY_TIMEOUT, SLUICE_REGISTRY_PROTOCOL; a status
   * is never an error here
   * @throws {UsageError} SLUICE_CANCELLED once it is closed: nothing is gained by trying again; SLUICE_OPTION_INVALID
   * for a proxy that is none
   */
  async send(request: HttpRequest): Promise<HttpResponse> {
    const { url, method, headers, body, signal } = request;
    signal?.throwIfAborted();
    if (this.#isClosed)
      throw new UsageError('SLUICE_CANCELLED', `Cannot reach "${redactUrl(url)}": it was closed here`);
    const dispatcher = this.#connections.dispatcher(url);
    const startedAt = performance.now();
    try {
      const response = await dispatcher.request({
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
      return new HttpResponse(request, response, startedAt);
    } catch (error) {
      if (registryChannels.request.hasSubscribers) publish(url, 0, startedAt, 0);
      throw networkError(error, url, signal);
    }
  }

  /** Requests under way fail, and all later ones. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#connections.close();
  }
}
