import type { ApiReply, ApiRequest } from '../../../src/demo/registry-routes.ts';
import { errorReply } from '../../../src/demo/registry-routes.ts';

export interface TestCredentials {
  readonly username: string;
  readonly password: string;
}

/** How a test registry wants to be asked. */
export type AuthOptions =
  | ({ readonly kind: 'basic' } & TestCredentials)
  | {
      readonly kind: 'token';
      /** Who gets tokens: everybody, when none is given. */
      readonly credentials?: TestCredentials;
      /** What is accepted as a refresh token. */
      readonly identityToken?: string;
      /** A token is good for this many requests. Default: any number. */
      readonly uses?: number;
      /** A token is good for so long. Default: for ever. */
      readonly lifeMs?: number;
      /** `expires_in` of the answer, seconds. Default 300. */
      readonly expiresIn?: number;
      /** Where tokens are said to come from, instead of here. */
      readonly realm?: string;
    };

interface Token {
  readonly scopes: ReadonlySet<string>;
  readonly endsAt: number;
  left: number;
}

function basicOf({ username, password }: TestCredentials): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}

/** `repository:NAME:pull,push` → `NAME pull`, `NAME push`. */
function permissions(scope: string): string[] {
  const [, name, actions] = /^repository:(.+):([a-z,]+)$/.exec(scope) ?? [];
  return (actions ?? '').split(',').map((action) => `${name} ${action}`);
}

/** The gate before a test registry. Tokens run out by use, or by time where a test is about that. */
export class AuthGate {
  readonly #options: AuthOptions | undefined;
  readonly #tokens = new Map<string, Token>();
  #issued = 0;

  constructor(options: AuthOptions | undefined) {
    this.#options = options;
  }

  /** From now on every token is refused. */
  revokeTokens(): void {
    this.#tokens.clear();
  }

  /** The refusal a request gets, `undefined` when it may pass. */
  refuse(request: ApiRequest, host: string): ApiReply | undefined {
    const options = this.#options;
    if (options === undefined) return undefined;
    const given = request.headers.authorization;
    if (options.kind === 'basic') {
      if (given === basicOf(options)) return undefined;
      return errorReply(401, 'UNAUTHORIZED', { 'www-authenticate': 'Basic realm="test"' });
    }
    const token = this.#tokens.get(given?.replace(/^Bearer /, '') ?? '');
    const needed = this.#neededFor(request);
    const isAlive = token !== undefined && token.left > 0 && performance.now() < token.endsAt;
    if (isAlive && (needed === undefined || token.scopes.has(needed))) {
      token.left--;
      return undefined;
    }
    const realm = options.realm ?? `http://${host}/token`;
    const [name, action] = needed?.split(' ') ?? [];
    const scope = name ? `,scope="repository:${name}:${action === 'push' ? 'pull,push' : 'pull'}"` : '';
    return errorReply(401, 'UNAUTHORIZED', { 'www-authenticate': `Bearer realm="${realm}",service="test"${scope}` });
  }

  /** Answers at `/token`. */
  async token(request: ApiRequest): Promise<ApiReply> {
    const options = this.#options;
    if (options?.kind !== 'token') return errorReply(404, 'UNSUPPORTED');
    let query = new URL(request.target, 'http://x').searchParams;
    if (request.method === 'POST') {
      const body: Uint8Array[] = [];
      for await (const chunk of request.body) body.push(chunk);
      query = new URLSearchParams(Buffer.concat(body).toString());
      if (options.identityToken === undefined || query.get('refresh_token') !== options.identityToken) {
        return errorReply(401, 'UNAUTHORIZED');
      }
    } else if (options.credentials && request.headers.authorization !== basicOf(options.credentials)) {
      return errorReply(401, 'UNAUTHORIZED');
    }
    const scopes = query.getAll('scope').flatMap((scope) => scope.split(' '));
    const token = `token-${++this.#issued}`;
    this.#tokens.set(token, {
      scopes: new Set(scopes.flatMap(permissions)),
      left: options.uses ?? Number.POSITIVE_INFINITY,
      endsAt: performance.now() + (options.lifeMs ?? Number.POSITIVE_INFINITY),
    });
    const body = Buffer.from(JSON.stringify({ token, expires_in: options.expiresIn ?? 300 }));
    return { status: 200, headers: { 'content-type': 'application/json' }, body };
  }

  #neededFor(request: ApiRequest): string | undefined {
    const [, name] = /^\/v2\/(.+?)\/(?:manifests|blobs|referrers|tags)\//.exec(request.target) ?? [];
    if (name === undefined) return undefined;
    const reads = request.method === 'GET' || request.method === 'HEAD';
    return `${name} ${reads && !request.target.includes('/uploads/') ? 'pull' : 'push'}`;
  }
}
