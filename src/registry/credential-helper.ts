import { execFile } from 'node:child_process';
import { RegistryError } from '../errors.ts';
import { optionalStringAt, parseJsonObject } from '../oci/json.ts';
import type { Credentials } from './credentials.ts';

/** Long enough for a person to unlock a key ring. */
const helperTimeoutMs = 60_000;
/** The answer is one small object. */
const helperMaximumBytes = 64 * 1024;

interface HelperResult {
  readonly error: Error | null;
  readonly output: string;
}

function runHelper(program: string, input: string): Promise<HelperResult> {
  return new Promise((resolve) => {
    const options = { timeout: helperTimeoutMs, maxBuffer: helperMaximumBytes };
    const child = execFile(program, ['get'], options, (error, output) => resolve({ error, output }));
    // A helper that ends without reading gives EPIPE here, and its exit status tells more.
    child.stdin?.on('error', () => {});
    child.stdin?.end(input);
  });
}

/**
 * Runs `docker-credential-NAME get`. Source: docker-credential-helpers, README, Development.
 *
 * @param name - from a configuration file; only a plain name is run, never a path
 * @returns `undefined` when the helper knows no such host
 * @throws {RegistryError} SLUICE_REGISTRY_UNAUTHORIZED when the helper is missing or fails
 */
export async function askHelper(name: string, server: string): Promise<Credentials | undefined> {
  const refuse = (why: string, cause?: unknown): RegistryError =>
    new RegistryError(
      'SLUICE_REGISTRY_UNAUTHORIZED',
      `Cannot get credentials for "${server}": helper "docker-credential-${name.slice(0, 100)}" ${why}`,
      { facts: { host: server }, cause },
    );
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name)) throw refuse('is no plain name');
  const { error, output } = await runHelper(`docker-credential-${name}`, server);
  if (error !== null) {
    if (/credentials not found/i.test(output)) return undefined;
    // The helper's words may hold a secret: only the kind of failure is passed on.
    throw refuse('code' in error && error.code === 'ENOENT' ? 'is not installed' : 'failed');
  }
  const answer = parseJsonObject(Buffer.from(output), `the answer of docker-credential-${name}`);
  const username = optionalStringAt(answer.Username, 'Username') ?? '';
  const secret = optionalStringAt(answer.Secret, 'Secret') ?? '';
  if (secret === '') return undefined;
  return username === '<token>'
    ? { kind: 'identity-token', token: secret }
    : { kind: 'password', username, password: secret };
}
