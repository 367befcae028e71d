import { execFile } from 'node:child_process';
import { RegistryError } from '../errors.ts';
import { type JsonObject, optionalStringAt, parseJsonObject } from '../oci/json.ts';
import type { Credentials } from './credentials.ts';
import type { Environment } from './registry-options.ts';
import { redactWords, Secrets } from './secrets.ts';

/** Long enough for a person to unlock a key ring. */
const timeoutMs = 60_000;
/** The answer is one small object. */
const maximumBytes = 64 * 1024;

interface Outcome {
  readonly error: Error | null;
  readonly output: string;
  readonly words: string;
}

function run(argv: readonly string[], server: string, environment: Environment): Promise<Outcome> {
  const [program = '', ...args] = argv;
  return new Promise((resolve) => {
    const limits = { timeout: timeoutMs, killSignal: 'SIGKILL', maxBuffer: maximumBytes } as const;
    const child = execFile(program, args, { ...limits, env: { ...environment } }, (error, output, words) =>
      resolve({ error, output, words }),
    );
    // A program that ends without reading gives EPIPE here, and its exit status tells more.
    child.stdin?.on('error', () => {});
    child.stdin?.end(server);
  });
}

function refusal(server: string, who: string, why: string): RegistryError {
  return new RegistryError(
    'SLUICE_REGISTRY_UNAUTHORIZED',
    `Cannot get credentials for "${server}": ${who.slice(0, 150)} ${why}`,
    { facts: { host: server } },
  );
}

/** Whether the program could not be started at all. */
function isMissing(error: Error): boolean {
  return 'code' in error && error.code === 'ENOENT';
}

/** Without a cause: the JSON parser quotes what it cannot parse, which may be the secret. */
function parseAnswer(output: string, server: string, who: string): JsonObject {
  try {
    return parseJsonObject(Buffer.from(output), 'credentials');
  } catch {
    throw refusal(server, who, 'answered something else than a JSON object');
  }
}

/** Source: docker-credential-helpers, README, Development. */
function fromHelper(answer: JsonObject): Credentials | undefined {
  const username = optionalStringAt(answer.Username, 'Username') ?? '';
  const secret = optionalStringAt(answer.Secret, 'Secret') ?? '';
  if (secret === '') return undefined;
  return username === '<token>'
    ? { kind: 'identity-token', token: secret }
    : { kind: 'password', username, password: secret };
}

function fromCommand(answer: JsonObject): Credentials | undefined {
  const token = optionalStringAt(answer.identitytoken, 'identitytoken') || optionalStringAt(answer.token, 'token');
  if (token) return { kind: 'identity-token', token };
  const username = optionalStringAt(answer.username, 'username');
  const password = optionalStringAt(answer.password, 'password');
  if (username === undefined || password === undefined) return fromHelper(answer);
  return { kind: 'password', username, password };
}

function read(
  from: (answer: JsonObject) => Credentials | undefined,
  output: string,
  server: string,
  who: string,
): Credentials | undefined {
  const answer = parseAnswer(output, server, who);
  try {
    return from(answer);
  } catch {
    throw refusal(server, who, 'answered with a value that is no string');
  }
}

/**
 * Runs `docker-credential-NAME get`.
 *
 * @param name - from a configuration file; only a plain name is run, never a path
 * @param environment - of the helper; its PATH is where the helper is looked for
 * @returns `undefined` when the helper knows no such host
 * @throws {RegistryError} SLUICE_REGISTRY_UNAUTHORIZED when the helper is missing or fails
 */
export async function askHelper(
  name: string,
  server: string,
  environment: Environment,
): Promise<Credentials | undefined> {
  const who = `helper "docker-credential-${name.slice(0, 100)}"`;
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name)) throw refusal(server, who, 'is no plain name');
  const { error, output } = await run([`docker-credential-${name}`, 'get'], server, environment);
  if (error === null) return read(fromHelper, output, server, who);
  if (/credentials not found/i.test(output)) return undefined;
  // The helper's words may hold a secret: only the kind of failure is passed on.
  throw refusal(server, who, isMissing(error) ? 'is not installed' : 'failed');
}

/**
 * Runs a program that somebody named for this. It gets the host on its input, and writes a JSON object:
 * `{"username", "password"}`, `{"identitytoken"}`, `{"token"}`, or as docker's helpers do; `{}` when it knows nothing.
 *
 * @param argv - run as it is, by no shell
 * @throws {RegistryError} SLUICE_REGISTRY_UNAUTHORIZED with what it said, when it fails
 */
export async function askCommand(
  argv: readonly string[],
  server: string,
  environment: Environment,
): Promise<Credentials | undefined> {
  const who = `"${argv[0] ?? ''}"`;
  const { error, output, words } = await run(argv, server, environment);
  if (error === null) return read(fromCommand, output, server, who);
  if (isMissing(error)) throw refusal(server, who, 'cannot be run');
  const secrets = new Secrets();
  secrets.add(...Array.from(output.matchAll(/"((?:[^"\\]|\\.)*)"/g), ([, text = '']) => text));
  const said = redactWords(words, secrets);
  throw refusal(server, who, said === '' ? 'failed' : `failed: ${said}`);
}
