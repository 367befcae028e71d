import { LRUCache } from 'lru-cache';
import { RegistryError } from '../errors.ts';
import { optionalStringAt, parseJsonObject } from '../oci/json.ts';
import { parseChallenges } from './challenge.ts';
import type { Credentials } from './credentials.ts';
import type { HttpResponse, HttpTransport } from './http-transport.ts';
import { responseError } from './response-error.ts';
import { keepsPrivacy, parseUrl, redactUrl } from './url.ts';

/** One token a scope, so one or two an image: a bound, not a size. */
const maximumTokens = 256;
/** What a token without `expires_in` lives. Source: distribution-spec token authentication. */
const defaultLifetimeSeconds = 60;
/** A token is renewed when this part of its life is over, so that none expires on the way. */
const usableLife = 0.9;
/** A token is some kilobytes. */
const maximumAnswerBytes = 1024 * 1024;

interface TokenEntry {
  /** Known once the exchange is done. */
  header?: string;
  readonly promise: Promise<string>;
}

/** Where tokens come from, as the registry said it. */
interface TokenService {
  readonly realm: URL;
  readonly service: string | undefined;
}

type Scheme = { readonly kind: 'basic' } | ({ readonly kind: 'bearer' } & TokenService);

/** Waits for what others wait for too; who leaves does not end it. */
async function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  signal.throwIfAborted();
  let leave = () => {};
  const left = new Promise<never>((_, reject) => {
    leave = () => reject(signal.reason);
    signal.addEventListener('abort', leave, { once: true });
  });
  try {
    return await Promise.race([promise, left]);
  } finally {
    signal.removeEventListener('abort', leave);
  }
}

function basic(credentials: Credentials | undefined): string | undefined {
  if (credentials?.kind !== 'password') return undefined;
  return `Basic ${Buffer.from(`${credentials.username}:${credentials.password}`).toString('base64')}`;
}

function readToken(bytes: Uint8Array): { token: string; lifetimeMs: number } {
  const answer = parseJsonObject(bytes, 'token');
  const token = optionalStringAt(answer.token, 'token') || optionalStringAt(answer.access_token, 'token');
  if (!token) throw new RegistryError('SLUICE_REGISTRY_PROTOCOL', 'Cannot log in: the answer holds no token');
  const seconds = typeof answer.expires_in === 'number' ? answer.expires_in : defaultLifetimeSeconds;
  return { token, lifetimeMs: Math.max(1, seconds) * 1000 };
}

/**
 * Gets and keeps what a registry wants in the Authorization header, for one registry.
 * Tokens are kept in memory, a scope each, until shortly before they expire; requests that need the same one share
 * one exchange.
 */
export class Authorizer {
  readonly #transport: HttpTransport;
  readonly #registry: URL;
  readonly #credentials: () => Promise<Credentials | undefined>;
  readonly #tokens = new LRUCache<string, TokenEntry>({ max: maximumTokens });
  #scheme: Scheme | undefined;

  /** @param credentials - asked when the registry first wants any */
  constructor(transport: HttpTransport, registry: URL, credentials: () => Promise<Credentials | undefined>) {
    this.#transport = transport;
    this.#registry = registry;
    this.#credentials = credentials;
  }

  /**
   * The header for a request, as far as it is known by now: nothing before the first {@link learn}.
   * @param scopes - `repository:NAME:pull`
   */
  async header(scopes: readonly string[], signal?: AbortSignal): Promise<string | undefined> {
    if (this.#scheme === undefined) return undefined;
    if (this.#scheme.kind === 'basic') return basic(await this.#credentials());
    return abortable(this.#token(this.#scheme, scopes), signal);
  }

  /**
   * Takes in a 401.
   *
   * @param sent - the header the request had
   * @returns whether asking {@link header} again may give a better one
   */
  learn(response: HttpResponse, scopes: readonly string[], sent: string | undefined): boolean {
    const challenges = response.headers('www-authenticate').flatMap(parseChallenges);
    const bearer = challenges.find(({ scheme, parameters }) => scheme === 'bearer' && parameters.realm);
    if (bearer !== undefined) {
      const { realm = '', service } = bearer.parameters;
      this.#scheme = { kind: 'bearer', realm: this.#checkRealm(realm), service };
      const key = scopes.join(' ');
      // Another request may have replaced the token that was refused here.
      if (sent !== undefined && this.#tokens.get(key)?.header === sent) this.#tokens.delete(key);
      return true;
    }
    if (challenges.some(({ scheme }) => scheme === 'basic')) {
      this.#scheme = { kind: 'basic' };
      return sent === undefined;
    }
    return false;
  }

  /** Credentials go where the registry says; it must not say: over there, and in the clear. */
  #checkRealm(realm: string): URL {
    const url = parseUrl(realm, this.#registry);
    if (url === undefined || !keepsPrivacy(url, this.#registry)) {
      const shown = url === undefined ? realm.slice(0, 100) : redactUrl(url);
      throw new RegistryError('SLUICE_REGISTRY_PROTOCOL', `Cannot log in: token service "${shown}" is no https URL`);
    }
    return url;
  }

  /** Not under a signal: the exchange is shared, and the first who asked may be the first to leave. */
  #token(service: TokenService, scopes: readonly string[]): Promise<string> {
    const key = scopes.join(' ');
    const known = this.#tokens.get(key);
    if (known !== undefined) return known.promise;
    const fetched = this.#fetchToken(service, scopes);
    const entry: TokenEntry = { promise: fetched.then(({ token }) => `Bearer ${token}`) };
    this.#tokens.set(key, entry);
    fetched.then(
      ({ token, lifetimeMs }) => {
        entry.header = `Bearer ${token}`;
        this.#tokens.set(key, entry, { ttl: lifetimeMs * usableLife });
      },
      () => this.#tokens.delete(key),
    );
    return entry.promise;
  }

  async #fetchToken(service: TokenService, scopes: readonly string[]) {
    const credentials = await this.#credentials();
    const response =
      credentials?.kind === 'identity-token'
        ? await this.#exchange(service, scopes, credentials.token)
        : await this.#ask(service, scopes, basic(credentials));
    const body = await response.bytes(maximumAnswerBytes);
    if (response.status !== 200) {
      const failed = { status: response.status, url: response.url, retryAfter: response.header('retry-after'), body };
      throw responseError(failed, 'log in', 'SLUICE_IMAGE_NOT_FOUND');
    }
    return readToken(body);
  }

  #ask(service: TokenService, scopes: readonly string[], authorization: string | undefined) {
    const url = new URL(service.realm);
    if (service.service !== undefined) url.searchParams.set('service', service.service);
    for (const scope of scopes) url.searchParams.append('scope', scope);
    return this.#transport.send({ method: 'GET', url, headers: authorization ? { authorization } : {} });
  }

  /** Source: distribution-spec token authentication, OAuth2. */
  #exchange(service: TokenService, scopes: readonly string[], refreshToken: string) {
    const form = new URLSearchParams({
      grant_type: 'refresh_token',
      client_id: 'sluice',
      scope: scopes.join(' '),
      refresh_token: refreshToken,
      ...(service.service === undefined ? {} : { service: service.service }),
    });
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    return this.#transport.send({ method: 'POST', url: service.realm, headers, body: form.toString() });
  }
}
