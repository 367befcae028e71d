import { NotFoundError, RegistryError, UsageError } from '../errors.ts';
import type { RegistryReference } from '../oci/reference.ts';
import { Authorizer } from './authorizer.ts';
import { findCredentials } from './credentials.ts';
import { type HttpRequest, type HttpResponse, HttpTransport } from './http-transport.ts';
import { defaultRetryPolicy, type RegistryOptions, type RetryPolicy } from './registry-options.ts';
import { responseError } from './response-error.ts';
import { retrying } from './retry.ts';
import { keepsPrivacy, parseUrl, redactUrl } from './url.ts';

/** A longer chain is a loop. */
const maximumRedirects = 5;
/** As much of an error answer as is looked at. */
const maximumErrorBytes = 64 * 1024;

export interface RegistryCall {
  readonly method: HttpRequest['method'];
  /** Absolute, or below the registry's root: `/v2/…`. */
  readonly target: URL | string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  /** Token scopes the call needs. */
  readonly scopes: readonly string[];
  /** Statuses that are answers; all others are errors. */
  readonly expect: readonly number[];
  /** What is being done, for messages: `read blob sha256:…`. */
  readonly action: string;
  /** What a 404 means; a blob when not given. */
  readonly missing?: 'SLUICE_IMAGE_NOT_FOUND' | 'SLUICE_BLOB_NOT_FOUND';
  /** False for a call that must not be sent twice, or whose caller tries again itself. */
  readonly retry?: boolean;
  readonly signal?: AbortSignal | undefined;
}

function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127(\.\d+){3}$/.test(hostname);
}

/** Where the API of `host` is. Docker Hub's is not at its name. */
function registryUrl(host: string, options: RegistryOptions): URL {
  const url = new URL(`http://${host === 'docker.io' ? 'registry-1.docker.io' : host}/`);
  const plain = options.plainHttp ?? (isLoopback(url.hostname) && options.ca === undefined);
  // Changing the protocol of a URL keeps the port only when it is not the default one: parse again.
  return plain ? url : new URL(`https://${host === 'docker.io' ? 'registry-1.docker.io' : host}/`);
}

/**
 * Calls of one registry's API: authenticated, redirected, tried again. Requests may run concurrently.
 * Source: OCI distribution-spec 1.1.
 */
export class RegistryClient {
  readonly url: URL;
  readonly retryPolicy: RetryPolicy;
  readonly #transport: HttpTransport;
  readonly #authorizer: Authorizer;

  /** @throws {UsageError} SLUICE_REFERENCE_INVALID when the host is none */
  constructor(reference: RegistryReference, options: RegistryOptions) {
    const { host, repository } = reference;
    if (!URL.canParse(`http://${host}/`)) {
      throw new UsageError('SLUICE_REFERENCE_INVALID', `Cannot use registry "${host}": no host and port`);
    }
    this.url = registryUrl(host, options);
    this.retryPolicy = options.retry ?? defaultRetryPolicy;
    this.#transport = new HttpTransport(options);
    const given = options.credentials;
    const find = given === undefined ? () => findCredentials(host, repository) : async () => given;
    let found: ReturnType<typeof findCredentials> | undefined;
    this.#authorizer = new Authorizer(this.#transport, this.url, async () => {
      found ??= find().then((credentials) => (credentials === 'anonymous' ? undefined : credentials));
      return found;
    });
  }

  /**
   * @returns an answer with one of the expected statuses, whose body the caller has to read or discard; its `url` is
   * where it came from in the end
   * @throws {RegistryError} any code
   * @throws {NotFoundError} the call's `missing`
   */
  async call(call: RegistryCall): Promise<HttpResponse> {
    if (call.retry === false) return this.#attempt(call);
    return retrying(this.retryPolicy, call.signal, () => this.#attempt(call));
  }

  /** Opens connections to the registry for calls to come, if there has been none yet. */
  dial(connections: number): void {
    this.#transport.dial(this.url, connections);
  }

  async close(): Promise<void> {
    await this.#transport.close();
  }

  async #attempt(call: RegistryCall): Promise<HttpResponse> {
    const response = await this.#follow(call);
    if (call.expect.includes(response.status)) return response;
    const body = await response.bytes(maximumErrorBytes).catch(() => new Uint8Array());
    const failed = { status: response.status, url: response.url, retryAfter: response.header('retry-after'), body };
    throw responseError(failed, call.action, call.missing ?? 'SLUICE_BLOB_NOT_FOUND');
  }

  async #follow(call: RegistryCall): Promise<HttpResponse> {
    let url = new URL(call.target, this.url);
    for (let hops = 0; hops <= maximumRedirects; hops++) {
      const response = await this.#authorized(call, url);
      const location = response.header('location');
      if (response.status < 300 || response.status >= 400 || location === undefined) return response;
      if (call.expect.includes(response.status)) return response;
      await response.discard();
      url = this.#redirected(location, url, call);
    }
    throw new RegistryError(
      'SLUICE_REGISTRY_PROTOCOL',
      `Cannot ${call.action}: more than ${maximumRedirects} redirects`,
    );
  }

  #redirected(location: string, from: URL, call: RegistryCall): URL {
    const url = parseUrl(location, from);
    if (url === undefined || !keepsPrivacy(url, from)) {
      const shown = url === undefined ? location.slice(0, 100) : redactUrl(url);
      throw new RegistryError(
        'SLUICE_REGISTRY_PROTOCOL',
        `Cannot ${call.action}: redirected to "${shown}", no https URL`,
      );
    }
    return url;
  }

  /** Only the registry itself is told who asks: a redirect elsewhere must not collect tokens. */
  async #authorized(call: RegistryCall, url: URL): Promise<HttpResponse> {
    const { method, body, signal, scopes } = call;
    const request = (authorization?: string) =>
      this.#transport.send({
        method,
        url,
        headers: { ...call.headers, ...(authorization ? { authorization } : {}) },
        ...(body ? { body } : {}),
        signal,
      });
    if (url.origin !== this.url.origin) return request();
    const sent = await this.#authorizer.header(scopes, signal);
    const response = await request(sent);
    if (response.status !== 401 || !this.#authorizer.learn(response, scopes, sent)) return response;
    const better = await this.#authorizer.header(scopes, signal).catch(async (error: unknown) => {
      await response.discard();
      throw error;
    });
    if (better === undefined) return response;
    await response.discard();
    return request(better);
  }
}

/** The status of an error that an answer caused. */
export function statusOf(error: unknown): number | undefined {
  const known = error instanceof RegistryError || error instanceof NotFoundError;
  return known && typeof error.facts.status === 'number' ? error.facts.status : undefined;
}
