import { LRUCache } from 'lru-cache';
import { RegistryError } from '../errors.ts';
import { parseChallenges } from './challenge.ts';
import { CredentialSource } from './credential-source.ts';
import type { Credentials } from './credentials.ts';
import type { HttpResponse, HttpTransport } from './http-transport.ts';
import { Secrets } from './secrets.ts';
import { basicHeader, TokenClient, type TokenService } from './token-service.ts';
import { keepsPrivacy, parseUrl, redactUrl } from './url.ts';

/** One token a scope, so one or two an image: a bound, not a size. */
const maximumTokens = 256;
/** What is known by now; then with a new token; then with new credentials. */
const maximumTries = 3;
/** A token that is denied may be an old one; a registry that denies every token is not asked twice for each request. */
const deniedFloorMs = 2_000;

interface TokenEntry {
  /** Known once the exchange is done. */
  header?: string;
  readonly promise: Promise<string>;
}

type Scheme = { readonly kind: 'basic' } | ({ readonly kind: 'bearer' } & TokenService);

/** One request that is to be sent with what the registry wants. */
interface Call {
  /** `repository:NAME:pull` */
  readonly scopes: readonly string[];
  readonly signal: AbortSignal | undefined;
  readonly startedAt: number;
}

/** What a request was refused with. */
interface Sent {
  readonly header: string | undefined;
  /** How many were sent before it. */
  readonly tries: number;
}

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

/**
 * Sends requests with the Authorization header that a registry wants, for one registry.
 * Tokens are kept in memory, a scope each, until shortly before they expire; requests that need the same one share
 * one exchange. What is refused is replaced: first the token, then the credentials. Nothing that failed is kept.
 */
export class Authorizer {
  readonly #registry: URL;
  readonly #secrets = new Secrets();
  readonly #credentials: CredentialSource;
  readonly #service: TokenClient;
  readonly #tokens = new LRUCache<string, TokenEntry>({ max: maximumTokens });
  #scheme: Scheme | undefined;
  #deniedAt = Number.NEGATIVE_INFINITY;

  /** @param find - looks up credentials, when the registry first wants any */
  constructor(transport: HttpTransport, registry: URL, find: () => Promise<Credentials | undefined>) {
    this.#registry = registry;
    this.#credentials = new CredentialSource(find, this.#secrets);
    this.#service = new TokenClient(transport, this.#credentials, this.#secrets);
  }

  /** What must not be read in what the registry says. */
  get secrets(): Secrets {
    return this.#secrets;
  }

  /** When a token, or the credentials themselves where there are no tokens, were last obtained: ms since the epoch. */
  get obtainedAt(): number | undefined {
    return this.#service.obtainedAt ?? this.#credentials.obtainedAt;
  }

  /**
   * @param request - sends the request with this header; called up to three times
   * @returns the last answer; 401 and 403 when there is nothing better to send
   * @throws {RegistryError} any code, of the token service
   */
  async send(
    request: (header: string | undefined) => Promise<HttpResponse>,
    scopes: readonly string[],
    signal: AbortSignal | undefined,
  ): Promise<HttpResponse> {
    const call = { scopes, signal, startedAt: performance.now() };
    let header = await this.#header(call);
    for (let tries = 0; ; tries++) {
      const response = await request(header);
      const isRefused = response.status === 401 || (response.status === 403 && header !== undefined);
      if (!isRefused || tries + 1 === maximumTries) return response;
      const better = await this.#better(response, { header, tries }, call).catch(async (error: unknown) => {
        await response.discard();
        throw error;
      });
      if (better === undefined) return response;
      await response.discard();
      header = better;
    }
  }

  /** As far as it is known by now: nothing before the first challenge. */
  async #header(call: Call): Promise<string | undefined> {
    if (this.#scheme === undefined) return undefined;
    if (this.#scheme.kind === 'basic') return basicHeader(await abortable(this.#credentials.get(), call.signal));
    return abortable(this.#token(this.#scheme, call.scopes), call.signal);
  }

  /** @returns undefined when there is nothing better than what was refused */
  async #better(response: HttpResponse, sent: Sent, call: Call): Promise<string | undefined> {
    if (response.status === 401 && !this.#learn(response)) return undefined;
    const isNew =
      this.#scheme?.kind === 'basic'
        ? await this.#renewBasic(sent, call)
        : await this.#renewToken(response.status, sent, call);
    return isNew ? this.#header(call) : undefined;
  }

  async #renewBasic(sent: Sent, call: Call): Promise<boolean> {
    const credentials = await this.#credentials.get();
    const header = basicHeader(credentials);
    if (header !== undefined && header !== sent.header) return true;
    return this.#credentials.renew(credentials, call.startedAt);
  }

  async #renewToken(status: number, sent: Sent, call: Call): Promise<boolean> {
    const key = call.scopes.join(' ');
    // None yet, or another request has replaced the one that was refused here.
    if (sent.header === undefined || this.#tokens.get(key)?.header !== sent.header) return true;
    if (status === 401 && sent.tries > 0) {
      // It was new: what it was got with is not good enough.
      if (!(await this.#credentials.renew(await this.#credentials.get(), call.startedAt))) return false;
    } else if (status === 403) {
      const now = performance.now();
      if (now - this.#deniedAt < deniedFloorMs) return false;
      this.#deniedAt = now;
      await this.#credentials.renew(await this.#credentials.get(), call.startedAt);
    }
    if (this.#tokens.get(key)?.header === sent.header) this.#tokens.delete(key);
    return true;
  }

  /** Takes in what a 401 wants. @returns whether it is anything known */
  #learn(response: HttpResponse): boolean {
    const challenges = response.headers('www-authenticate').flatMap(parseChallenges);
    const bearer = challenges.find(({ scheme, parameters }) => scheme === 'bearer' && parameters.realm);
    if (bearer !== undefined) {
      const { realm = '', service } = bearer.parameters;
      this.#scheme = { kind: 'bearer', realm: this.#checkRealm(realm), service };
      return true;
    }
    if (!challenges.some(({ scheme }) => scheme === 'basic')) return false;
    this.#scheme = { kind: 'basic' };
    return true;
  }

  /** Credentials go where the registry says; it must not say: over there, and in the clear. */
  #checkRealm(realm: string): URL {
    const url = parseUrl(realm, this.#registry);
    if (url === undefined || !keepsPrivacy(url, this.#registry)) {
      const shown = url === undefined ? '' : ` "${this.#secrets.hide(redactUrl(url))}"`;
      throw new RegistryError('SLUICE_REGISTRY_PROTOCOL', `Cannot log in: token service${shown} is no https URL`);
    }
    return url;
  }

  /** Not under a signal: the exchange is shared, and the first who asked may be the first to leave. */
  #token(service: TokenService, scopes: readonly string[]): Promise<string> {
    const key = scopes.join(' ');
    const known = this.#tokens.get(key);
    if (known !== undefined) return known.promise;
    const requested = this.#service.request(service, scopes);
    const entry: TokenEntry = { promise: requested.then(({ header }) => header) };
    this.#tokens.set(key, entry);
    requested.then(
      ({ header, usableMs }) => {
        entry.header = header;
        // Counted from its arrival on the clock that does not jump.
        this.#tokens.set(key, entry, { ttl: usableMs });
      },
      () => this.#tokens.delete(key),
    );
    return entry.promise;
  }
}
