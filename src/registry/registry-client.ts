import { NotFoundError, RegistryError } from '../errors.ts';
import { Authorizer } from './authorizer.ts';
import { credentialFinder } from './credential-source.ts';
import { type HttpRequest, type HttpResponse, HttpTransport } from './http-transport.ts';
import type { RegistryHost } from './registry-host.ts';
import { defaultRetryPolicy, type RegistryOptions, type RetryPolicy } from './registry-options.ts';
import { responseError } from './response-error.ts';
import { retrying } from './retry.ts';
import type { Secrets } from './secrets.ts';
import { keepsPrivacy, parseUrl, redactUrl } from './url.ts';

/** A longer chain is a loop. */
const maximumRedirects = 5;
/** As much of an error answer as is looked at. */
const maximumErrorBytes = 64 * 1024;

export interface RegistryCall {
  readonly method: HttpRequest['method'];
  /** As {@link RegistryClient.urlOf} makes it, or where the registry said. */
  readonly target: URL;
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

/**
 * Calls of one registry's API: authenticated, redirected, tried again. Requests may run concurrently.
 * Source: OCI distribution-spec 1.1.
 */
export class RegistryClient {
  readonly retryPolicy: RetryPolicy;
  readonly #host: RegistryHost;
  readonly #transport: HttpTransport;
  readonly #authorizer: Authorizer;

  /** @param repository - what credentials are looked up for; one host may have several */
  constructor(host: RegistryHost, repository: string, options: RegistryOptions) {
    this.#host = host;
    this.retryPolicy = options.retry ?? defaultRetryPolicy;
    this.#transport = new HttpTransport(host, options);
    this.#authorizer = new Authorizer(this.#transport, host.api, credentialFinder(host, repository, options));
  }

  /** What must not be read in what the registry says. */
  get secrets(): Secrets {
    return this.#authorizer.secrets;
  }

  /** When credentials, or a token for them, were last obtained: ms since the epoch; undefined when none were needed. */
  get authorizedAt(): number | undefined {
    return this.#authorizer.obtainedAt;
  }

  /** @param path - below the API, with its query: `library/busybox/manifests/latest` */
  urlOf(path: string): URL {
    const { api, namespace } = this.#host;
    const url = new URL(`${api.pathname}/${path}`, api);
    if (namespace !== undefined) url.searchParams.set('ns', namespace);
    return url;
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
    this.#transport.dial(this.#host.api, connections);
  }

  async close(): Promise<void> {
    await this.#transport.close();
  }

  async #attempt(call: RegistryCall): Promise<HttpResponse> {
    const response = await this.#follow(call);
    if (call.expect.includes(response.status)) return response;
    const body = await response.bytes(maximumErrorBytes).catch(() => new Uint8Array());
    const { status, url } = response;
    const failed = { status, url, retryAfter: response.header('retry-after'), body, secrets: this.secrets };
    throw responseError(failed, call.action, call.missing ?? 'SLUICE_BLOB_NOT_FOUND');
  }

  async #follow(call: RegistryCall): Promise<HttpResponse> {
    let url = call.target;
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
      const shown = url === undefined ? '' : ` to "${this.secrets.hide(redactUrl(url))}"`;
      throw new RegistryError('SLUICE_REGISTRY_PROTOCOL', `Cannot ${call.action}: redirected${shown}, no https URL`);
    }
    return url;
  }

  /** Only the registry itself is told who asks: a redirect elsewhere must not collect tokens. */
  async #authorized(call: RegistryCall, url: URL): Promise<HttpResponse> {
    const { method, body, signal, scopes } = call;
    const request = { method, url, ...(body ? { body } : {}), signal };
    if (url.origin !== this.#host.api.origin) return this.#transport.send({ ...request, headers: call.headers ?? {} });
    const own = { ...this.#host.headers, ...call.headers };
    return this.#authorizer.send(
      (authorization) => this.#transport.send({ ...request, headers: authorization ? { ...own, authorization } : own }),
      scopes,
      signal,
    );
  }
}

/** The status of an error that an answer caused. */
export function statusOf(error: unknown): number | undefined {
  const known = error instanceof RegistryError || error instanceof NotFoundError;
  return known && typeof error.facts.status === 'number' ? error.facts.status : undefined;
}
