import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import path from 'node:path';
import { FormatError } from '../errors.ts';
import { type Json, type JsonObject, objectAt, optionalStringAt, parseJsonObject } from '../oci/json.ts';
import { askHelper } from './credential-program.ts';
import type { Environment } from './registry-options.ts';

/** What a registry is told about who asks. Never logged, never written. */
export type Credentials =
  | { readonly kind: 'password'; readonly username: string; readonly password: string }
  | { readonly kind: 'identity-token'; readonly token: string };

/** Docker Hub has gone by several names; credential files hold any of them. */
const dockerHub: readonly string[] = ['docker.io', 'index.docker.io', 'registry-1.docker.io'];

/** In the order they are asked; the first that knows the host wins. Source: containers-auth.json(5), docker-login(1). */
function credentialFiles(environment: Environment): string[] {
  const home = environment.HOME ?? homedir();
  const config = environment.XDG_CONFIG_HOME ?? path.join(home, '.config');
  const runtime = environment.XDG_RUNTIME_DIR ?? `/run/containers/${process.getuid?.() ?? 0}`;
  const podman = environment.XDG_RUNTIME_DIR ? 'containers/auth.json' : 'auth.json';
  return [
    ...(environment.REGISTRY_AUTH_FILE ? [environment.REGISTRY_AUTH_FILE] : []),
    ...(environment.DOCKER_CONFIG ? [path.join(environment.DOCKER_CONFIG, 'config.json')] : []),
    path.join(runtime, podman),
    path.join(config, 'containers/auth.json'),
    path.join(home, '.docker/config.json'),
  ];
}

async function readConfig(file: string): Promise<JsonObject | undefined> {
  try {
    return parseJsonObject(await readFile(file), `"${file}"`);
  } catch (error) {
    // Without the cause: the JSON parser quotes what it cannot parse, and this file holds passwords.
    if (error instanceof FormatError) throw new FormatError('SLUICE_CONFIG_INVALID', error.message);
    // Most of the files do not exist, and one that is not ours to read says nothing to us.
    return undefined;
  }
}

/** `https://host/v1/` and `host` mean the same; podman's keys may go on with a part of the repository. */
function normalKey(key: string): string {
  return key.replace(/^https?:\/\//, '').replace(/\/(v[12]\/?)?$/, '');
}

/** Most telling first: `host/a/b`, `host/a`, `host`. */
function keysFor(host: string, repository: string): string[] {
  const hosts = dockerHub.includes(host) ? dockerHub : [host];
  const parts = repository.split('/');
  const paths = parts.map((_, index) => `/${parts.slice(0, parts.length - index).join('/')}`);
  return ['', ...paths.toReversed()].toReversed().flatMap((below) => hosts.map((name) => `${name}${below}`));
}

function fromEntry(value: Json, file: string): Credentials | undefined {
  const entry = objectAt(value, `"${file}" auths`);
  const token = optionalStringAt(entry.identitytoken, `"${file}" identitytoken`);
  if (token) return { kind: 'identity-token', token };
  const auth = optionalStringAt(entry.auth, `"${file}" auth`);
  if (!auth) return undefined;
  const [, username, password] = /^([^:]*):(.*)$/s.exec(Buffer.from(auth, 'base64').toString('utf8')) ?? [];
  if (username === undefined || password === undefined) {
    throw new FormatError('SLUICE_CONFIG_INVALID', `Cannot read "${file}": an "auth" is not base64 of user:password`);
  }
  // Some tools pad the password with NULs.
  return { kind: 'password', username, password: password.replace(/\0+$/, '') };
}

async function fromConfig(
  config: JsonObject,
  file: string,
  host: string,
  keys: string[],
  environment: Environment,
): Promise<Credentials | undefined> {
  const helpers = config.credHelpers ? objectAt(config.credHelpers, `"${file}" credHelpers`) : {};
  const helper = optionalStringAt(keys.map((key) => helpers[key]).find(Boolean), `"${file}" credHelpers`);
  if (helper) return askHelper(helper, host, environment);
  const store = optionalStringAt(config.credsStore, `"${file}" credsStore`);
  const stored = store
    ? await askHelper(store, dockerHub.includes(host) ? 'https://index.docker.io/v1/' : host, environment)
    : undefined;
  if (stored) return stored;
  const entries = config.auths ? Object.entries(objectAt(config.auths, `"${file}" auths`)) : [];
  const auths = new Map(entries.map(([key, value]) => [normalKey(key), value]));
  for (const key of keys) {
    const entry = auths.get(key);
    const credentials = entry === undefined ? undefined : fromEntry(entry, file);
    if (credentials) return credentials;
  }
  return undefined;
}

/**
 * Looks up who to be at a registry, in docker's and podman's own files and through their credential helpers.
 *
 * @param environment - where to find the files and helpers: HOME, DOCKER_CONFIG, REGISTRY_AUTH_FILE, XDG_RUNTIME_DIR,
 *   XDG_CONFIG_HOME, PATH
 * @returns `undefined` when nobody knows the host
 * @throws {FormatError} SLUICE_CONFIG_INVALID for a file that is there but broken
 * @throws {RegistryError} SLUICE_REGISTRY_UNAUTHORIZED when a helper fails
 */
export async function findCredentials(
  host: string,
  repository: string,
  environment: Environment = process.env,
): Promise<Credentials | undefined> {
  const keys = keysFor(host, repository);
  for (const file of credentialFiles(environment)) {
    const config = await readConfig(file);
    const credentials = config && (await fromConfig(config, file, host, keys, environment));
    if (credentials) return credentials;
  }
  return undefined;
}
