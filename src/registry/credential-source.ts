import { askCommand } from './credential-program.ts';
import { type Credentials, findCredentials } from './credentials.ts';
import type { RegistryHost } from './registry-host.ts';
import type { Environment, RegistryOptions } from './registry-options.ts';
import type { Secrets } from './secrets.ts';

/** Refused credentials are looked up again, but not for each of a thousand requests that are refused. */
const floorMs = 2_000;

/** A look-up that is done, or under way. */
interface LookUp {
  readonly found: Promise<Credentials | undefined>;
  /** On the clock that does not jump. */
  readonly startedAt: number;
}

/**
 * Who to be at one host: looked up when it is first needed, and again when it was refused or could not be found. Those
 * who ask at the same time share one look-up. Nothing is kept anywhere but here.
 */
export class CredentialSource {
  readonly #find: () => Promise<Credentials | undefined>;
  readonly #secrets: Secrets;
  readonly #now: () => number;
  #current: LookUp | undefined;
  #renewal: Promise<boolean> | undefined;
  #renewedAt = Number.NEGATIVE_INFINITY;
  #failedAt: number | undefined;
  #obtainedAt: number | undefined;

  /** @param secrets - learns what was found */
  constructor(
    find: () => Promise<Credentials | undefined>,
    secrets: Secrets,
    now: () => number = () => performance.now(),
  ) {
    this.#find = find;
    this.#secrets = secrets;
    this.#now = now;
  }

  /** When there were credentials last, milliseconds since the epoch. */
  get obtainedAt(): number | undefined {
    return this.#obtainedAt;
  }

  /** @throws {SluiceError} what the look-up throws; it is done anew a few seconds later */
  get(): Promise<Credentials | undefined> {
    const hasFailed = this.#failedAt !== undefined && this.#now() - this.#failedAt >= floorMs;
    if (this.#current === undefined || hasFailed) this.#current = this.#lookUp();
    return this.#current.found;
  }

  /**
   * Looks again, because these were refused.
   *
   * @param refused - as {@link get} gave them
   * @param since - when the request began that was refused: what was looked up later than that is new
   * @returns whether there are others now
   */
  renew(refused: Credentials | undefined, since: number): Promise<boolean> {
    this.#renewal ??= this.#renew(refused, since).finally(() => {
      this.#renewal = undefined;
    });
    return this.#renewal;
  }

  async #renew(refused: Credentials | undefined, since: number): Promise<boolean> {
    const current = await this.get();
    if (current !== refused) return true;
    const now = this.#now();
    if ((this.#current?.startedAt ?? 0) >= since || now - this.#renewedAt < floorMs) return false;
    this.#renewedAt = now;
    const next = this.#lookUp();
    if (same(await next.found, current)) return false;
    this.#current = next;
    return true;
  }

  #lookUp(): LookUp {
    this.#failedAt = undefined;
    const found = this.#find();
    found.then(
      (credentials) => {
        if (credentials === undefined) return;
        this.#obtainedAt = Date.now();
        this.#secrets.add(...secretsOf(credentials));
      },
      () => {
        this.#failedAt = this.#now();
      },
    );
    return { found, startedAt: this.#now() };
  }
}

/** What goes into a Basic header. */
export function basicToken(username: string, password: string): string {
  return Buffer.from(`${username}:${password}`).toString('base64');
}

function secretsOf(credentials: Credentials): string[] {
  if (credentials.kind === 'identity-token') return [credentials.token];
  return [credentials.password, basicToken(credentials.username, credentials.password)];
}

function same(a: Credentials | undefined, b: Credentials | undefined): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

/**
 * Where the credentials of a host come from. What was said for the registry, in options and in the environment, is for
 * no mirror; what is asked for by the name of a host is.
 *
 * @returns a look-up: given credentials, else the command, else files and their helpers, else the environment
 */
export function credentialFinder(
  host: RegistryHost,
  repository: string,
  options: RegistryOptions,
): () => Promise<Credentials | undefined> {
  const { credentials, credentialsCommand: command, environment = process.env } = options;
  if (credentials === 'anonymous') return async () => undefined;
  if (credentials !== undefined && host.isRegistry) return async () => credentials;
  return async () =>
    (command && (await askCommand(command, host.credentialsName, environment))) ??
    (await findCredentials(host.credentialsName, repository, environment)) ??
    (host.isRegistry ? fromEnvironment(environment) : undefined);
}

function fromEnvironment(environment: Environment): Credentials | undefined {
  const { SLUICE_REGISTRY_USERNAME: username, SLUICE_REGISTRY_PASSWORD: password } = environment;
  if (!username || password === undefined) return undefined;
  return { kind: 'password', username, password };
}
