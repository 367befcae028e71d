import { RegistryError } from '../errors.ts';
import { type JsonObject, parseJsonObject } from '../oci/json.ts';
import { registryChannels, type TokenRequested } from './channels.ts';
import { basicToken, type CredentialSource } from './credential-source.ts';
import type { Credentials } from './credentials.ts';
import type { HttpResponse, HttpTransport } from './http-transport.ts';
import { responseError } from './response-error.ts';
import type { Secrets } from './secrets.ts';

/** What a token without `expires_in` lives. Source: distribution-spec token authentication. */
const defaultLifetimeSeconds = 60;
/** Nobody is held to a token for longer, whatever the service says. */
const maximumLifetimeSeconds = 24 * 3600;
/** A token is renewed when this part of its life is over, so that none expires on the way. */
const usableLife = 0.9;
/** A token is some kilobytes. */
const maximumAnswerBytes = 1024 * 1024;

/** What a service answers to credentials that are wrong, or not right any more. Source: RFC 6749, 5.2. */
const refusals: ReadonlySet<number> = new Set([400, 401, 403]);

/** Where tokens come from, as a registry said it. */
export interface TokenService {
  readonly realm: URL;
  readonly service: string | undefined;
}

/** What goes into the Authorization header, and how long it may be used: of a clock that does not jump. */
export interface Token {
  readonly header: string;
  readonly usableMs: number;
}

/** @returns undefined for an identity token: that is exchanged, never sent as it is */
export function basicHeader(credentials: Credentials | undefined): string | undefined {
  if (credentials?.kind !== 'password') return undefined;
  return `Basic ${basicToken(credentials.username, credentials.password)}`;
}

/** Gets tokens for one registry. */
export class TokenClient {
  readonly #transport: HttpTransport;
  readonly #credentials: CredentialSource;
  readonly #secrets: Secrets;
  #obtainedAt: number | undefined;

  /** @param secrets - learns the tokens */
  constructor(transport: HttpTransport, credentials: CredentialSource, secrets: Secrets) {
    this.#transport = transport;
    this.#credentials = credentials;
    this.#secrets = secrets;
  }

  /** When the last token came, milliseconds since the epoch. */
  get obtainedAt(): number | undefined {
    return this.#obtainedAt;
  }

  /**
   * Asks for a token; once more when there are other credentials than those that were refused.
   * @param scopes - `repository:NAME:pull`
   * @throws {RegistryError} any code
   */
  async request(service: TokenService, scopes: readonly string[]): Promise<Token> {
    const startedAt = performance.now();
    try {
      const token = await this.#request(service, scopes, startedAt);
      publish(service, startedAt, undefined);
      return token;
    } catch (error) {
      publish(service, startedAt, error);
      throw error;
    }
  }

  async #request(service: TokenService, scopes: readonly string[], startedAt: number): Promise<Token> {
    const credentials = await this.#credentials.get();
    let response = await this.#send(service, scopes, credentials);
    if (refusals.has(response.status) && (await this.#hasBetter(response, credentials, startedAt))) {
      response = await this.#send(service, scopes, await this.#credentials.get());
    }
    const body = await response.bytes(maximumAnswerBytes);
    if (response.status !== 200) {
      const { status, url } = response;
      const failed = { status, url, retryAfter: response.header('retry-after'), body, secrets: this.#secrets };
      throw responseError(failed, 'log in', 'SLUICE_IMAGE_NOT_FOUND');
    }
    const token = readToken(body, response.header('date'));
    this.#secrets.add(token.header.replace(/^Bearer /, ''));
    this.#obtainedAt = Date.now();
    return token;
  }

  async #hasBetter(response: HttpResponse, refused: Credentials | undefined, startedAt: number): Promise<boolean> {
    // The answer may have no body: it says enough only when there is nothing else to try.
    const isBetter = await this.#credentials.renew(refused, startedAt).catch(async (error: unknown) => {
      await response.discard();
      throw error;
    });
    if (isBetter) await response.discard();
    return isBetter;
  }

  #send(service: TokenService, scopes: readonly string[], credentials: Credentials | undefined): Promise<HttpResponse> {
    return credentials?.kind === 'identity-token'
      ? this.#exchange(service, scopes, credentials.token)
      : this.#ask(service, scopes, basicHeader(credentials));
  }

  #ask(service: TokenService, scopes: readonly string[], authorization: string | undefined): Promise<HttpResponse> {
    const url = new URL(service.realm);
    if (service.service !== undefined) url.searchParams.set('service', service.service);
    for (const scope of scopes) url.searchParams.append('scope', scope);
    return this.#transport.send({ method: 'GET', url, headers: authorization ? { authorization } : {} });
  }

  /** Source: distribution-spec token authentication, OAuth2. */
  #exchange(service: TokenService, scopes: readonly string[], refreshToken: string): Promise<HttpResponse> {
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

function publish(service: TokenService, startedAt: number, error: unknown): void {
  if (!registryChannels.token.hasSubscribers) return;
  const event: TokenRequested = { host: service.realm.host, durationMs: performance.now() - startedAt, error };
  registryChannels.token.publish(event);
}

/** @param date - when it was sent, by the service's clock */
export function readToken(bytes: Uint8Array, date: string | undefined): Token {
  const answer = parseAnswer(bytes);
  const token = [answer.token, answer.access_token].find((value) => typeof value === 'string' && value !== '');
  if (typeof token !== 'string') throw noToken('holds no token');
  // Anything else cannot be sent in a header, and an error about that would quote it.
  if (!/^[\x21-\x7e]+$/.test(token)) throw noToken('holds a token of other characters than a header may have');
  return { header: `Bearer ${token}`, usableMs: lifetimeSeconds(answer, date) * usableLife * 1000 };
}

/** Without a cause: the JSON parser quotes what it cannot parse, which may be the token. */
function parseAnswer(bytes: Uint8Array): JsonObject {
  try {
    return parseJsonObject(bytes, 'token');
  } catch {
    throw noToken('is no JSON object');
  }
}

function noToken(why: string): RegistryError {
  return new RegistryError('SLUICE_REGISTRY_PROTOCOL', `Cannot log in: the answer ${why}`);
}

/**
 * What is left of a token's life. A service may hand out one that it issued a while ago; how long ago is told by its own
 * clock alone, since ours may differ.
 */
function lifetimeSeconds(answer: JsonObject, date: string | undefined): number {
  const said = answer.expires_in;
  const whole = typeof said === 'number' && said >= 0 ? Math.min(said, maximumLifetimeSeconds) : defaultLifetimeSeconds;
  const issuedAt = typeof answer.issued_at === 'string' ? Date.parse(answer.issued_at) : Number.NaN;
  const age = (Date.parse(date ?? '') - issuedAt) / 1000;
  const left = age > 0 && age < whole ? whole - age : whole;
  return Math.max(1, left);
}
