import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ImageSource } from '../../src/oci/image.ts';
import { parseReference, type RegistryReference } from '../../src/oci/reference.ts';
import { openRegistryImage } from '../../src/registry/registry-image.ts';
import type { RegistryOptions } from '../../src/registry/registry-options.ts';
import { openRegistryTarget } from '../../src/registry/registry-target.ts';
import { readToken } from '../../src/registry/token-service.ts';
import { collect, putImage, randomBlob, smallImage, streamOf } from '../support/image.ts';
import type { Fault } from '../support/registry/faults.ts';
import { TestRegistry, type TestRegistryOptions } from '../support/registry/test-registry.ts';
import { makeTemporaryDirectory, removeTemporaryDirectory } from '../support/temporary.ts';

const retry = { attempts: 1, baseMs: 1, maximumMs: 1, deadlineMs: 1000 };
const opened: { close(): Promise<void> }[] = [];
let home: string;
let environment: Record<string, string>;

beforeEach(() => {
  home = makeTemporaryDirectory();
  environment = { HOME: home, XDG_RUNTIME_DIR: path.join(home, 'run'), PATH: `${home}:${process.env.PATH}` };
});
afterEach(async () => {
  for (const one of opened.splice(0)) await one.close();
  await removeTemporaryDirectory(home);
});

/** What the registry accepts, and a test changes. */
function account(password: string) {
  return { username: 'alice', password };
}

/** As `docker login` does. */
function login(host: string, username: string, password: string): void {
  mkdirSync(path.join(home, '.docker'), { recursive: true });
  const auth = Buffer.from(`${username}:${password}`).toString('base64');
  writeFileSync(path.join(home, '.docker/config.json'), JSON.stringify({ auths: { [host]: { auth } } }));
}

function script(name: string, text: string): string {
  const file = path.join(home, name);
  writeFileSync(file, `#!/bin/sh\n${text}\n`);
  chmodSync(file, 0o755);
  return file;
}

async function setUp(auth: NonNullable<TestRegistryOptions['auth']>, valid: { username: string; password: string }) {
  const registry = await TestRegistry.start({ auth });
  opened.push(registry);
  const reference = parseReference(`docker://${registry.host}/team/app:v1`) as RegistryReference;
  const target = openRegistryTarget(reference, { credentials: { kind: 'password', ...valid } });
  const blob = randomBlob(1000);
  await target.putBlob(blob.descriptor, () => streamOf(blob.bytes));
  await putImage(target, await smallImage());
  await target.close();
  registry.requests.clear();
  const open = (options: RegistryOptions = {}): ImageSource => {
    const source = openRegistryImage(reference, { environment, retry, ...options });
    opened.unshift(source);
    return source;
  };
  return { registry, open, blob, read: (source: ImageSource) => collect(source.readBlob(blob.descriptor)) };
}

describe.each(['basic', 'token'] as const)('credentials of a registry with %s authentication', (kind) => {
  const authOf = (valid: ReturnType<typeof account>) =>
    kind === 'basic'
      ? {
          kind,
          username: valid.username,
          get password() {
            return valid.password;
          },
        }
      : { kind, credentials: valid };

  it('are looked up again when they were changed, without an error', async () => {
    const valid = account('first-password');
    const { registry, open, read } = await setUp(authOf(valid), valid);
    login(registry.host, 'alice', 'first-password');
    const source = open();
    await read(source);
    const before = source.credentials?.()?.obtainedAt ?? 0;
    expect(Math.abs(Date.now() - before)).toBeLessThan(10_000);
    valid.password = 'second-password';
    login(registry.host, 'alice', 'second-password');
    registry.revokeTokens();
    await Promise.all(Array.from({ length: 8 }, () => read(source)));
    expect(source.credentials?.()?.obtainedAt).toBeGreaterThanOrEqual(before);
  });

  it('that are refused, or missing, stick to nothing', async () => {
    const valid = account('right-password');
    const { registry, open, read } = await setUp(authOf(valid), valid);
    for (const start of [() => undefined, () => login(registry.host, 'alice', 'wrong-password')]) {
      start();
      const source = open();
      await expect(read(source)).rejects.toMatchObject({ code: 'SLUICE_REGISTRY_UNAUTHORIZED' });
      login(registry.host, 'alice', 'right-password');
      await read(source);
    }
  });

  it('come from the environment when nothing else knows the registry', async () => {
    const valid = account('pass-of-environment');
    const { registry, open, read } = await setUp(authOf(valid), valid);
    const variables = { SLUICE_REGISTRY_USERNAME: 'alice', SLUICE_REGISTRY_PASSWORD: valid.password };
    await read(open({ environment: { ...environment, ...variables } }));
    login(registry.host, 'alice', 'wrong-password');
    const refused = read(open({ environment: { ...environment, ...variables } }));
    await expect(refused).rejects.toMatchObject({ code: 'SLUICE_REGISTRY_UNAUTHORIZED' });
  });

  it('come from a command, which gets the host and is asked again', async () => {
    const valid = account('of-the-command');
    const { registry, open, read } = await setUp(authOf(valid), valid);
    const answer = path.join(home, 'answer');
    const command = [script('ask', `read host; echo "$host" >> ${home}/asked; cat "$1"`), answer];
    const say = (password: string) => writeFileSync(answer, JSON.stringify({ username: 'alice', password }));
    login(registry.host, 'alice', 'wrong-password');
    say('wrong-password');
    const source = open({ credentialsCommand: command });
    await expect(read(source)).rejects.toMatchObject({ code: 'SLUICE_REGISTRY_UNAUTHORIZED' });
    say(valid.password);
    await read(source);
    expect(readFileSync(path.join(home, 'asked'), 'utf8')).toBe(`${registry.host}\n`.repeat(2));
  });
});

describe('a command for credentials', () => {
  it.each([
    ['a username and a secret, as docker’s helpers', '{"Username":"alice","Secret":"pw-of-alice"}'],
    ['a username and a password', '{"username":"alice","password":"pw-of-alice"}'],
    ['an identity token', '{"identitytoken":"identity-token"}'],
    ['a token', '{"token":"identity-token"}'],
  ])('may answer with %s', async (_, answer) => {
    const valid = account('pw-of-alice');
    const auth = { kind: 'token', credentials: valid, identityToken: 'identity-token' } as const;
    const { open, read } = await setUp(auth, valid);
    await read(open({ credentialsCommand: [script('ask', `echo '${answer}'`)] }));
  });

  it.each([
    [
      'fails',
      'echo "cannot unlock: password=s3cret-word" >&2; echo \'{"Secret":"s3cret-word"}\'; exit 3',
      /cannot unlock/,
    ],
    ['quotes its answer', 'echo s3cret-word >&2; echo \'{"Secret":"s3cret-word"}\'; exit 3', /failed/],
    ['answers with nonsense', 'echo "s3cret-word {"', /something else than a JSON object/],
    ['answers with another type', 'echo \'{"username":1}\'', /no string/],
  ])('that %s is named, without its secret', async (_, text, why) => {
    const valid = account('pw-of-alice');
    const { open, read } = await setUp({ kind: 'basic', ...valid }, valid);
    const error = await read(open({ credentialsCommand: [script('ask', text)] })).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'SLUICE_REGISTRY_UNAUTHORIZED' });
    expect(String(error)).toMatch(why);
    expect(everything(error)).not.toContain('s3cret-word');
  });

  it('that is not there is named', async () => {
    const valid = account('pw-of-alice');
    const { open, read } = await setUp({ kind: 'basic', ...valid }, valid);
    await expect(read(open({ credentialsCommand: [path.join(home, 'nothing')] }))).rejects.toThrow('cannot be run');
  });
});

describe('a token', () => {
  const valid = account('right-password');
  const credentials = { kind: 'password', ...valid } as const;

  it('that is denied is replaced, once, and not for each request', async () => {
    const { registry, open, read } = await setUp({ kind: 'token', credentials: valid }, valid);
    const source = open({ credentials });
    await read(source);
    registry.requests.clear();
    registry.faults.add({ on: 'blob', times: 1, fault: { kind: 'status', status: 403 } });
    await read(source);
    expect(registry.requests.of('token')).toHaveLength(1);
    registry.faults.add({ on: 'blob', times: 3, fault: { kind: 'status', status: 403 } });
    for (let i = 0; i < 3; i++) {
      await expect(read(source)).rejects.toMatchObject({ code: 'SLUICE_REGISTRY_DENIED' });
    }
    expect(registry.requests.of('token')).toHaveLength(1);
    await read(source);
  });

  it.each([
    ['as it is said', { expires_in: 100 }, 90_000],
    ['a minute when nothing is said', {}, 54_000],
    ['a day at most', { expires_in: 1e15 }, 77_760_000],
    ['what is left of it', { expires_in: 100, issued_at: '2026-01-01T00:00:00Z' }, 45_000],
    ['all of it when the clocks make no sense', { expires_in: 100, issued_at: '2031-01-01T00:00:00Z' }, 90_000],
    ['a moment at least', { expires_in: 0 }, 900],
    ['a minute when nonsense is said', { expires_in: -5, issued_at: 'now' }, 54_000],
  ])('lives %s', (_, answer, usableMs) => {
    const bytes = Buffer.from(JSON.stringify({ token: 'abc', ...answer }));
    expect(readToken(bytes, 'Thu, 01 Jan 2026 00:00:50 GMT')).toEqual({ header: 'Bearer abc', usableMs });
  });
});

/** All that anybody can get to read of an error. */
function everything(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return `${inspect(error, { depth: 6, showHidden: true })} ${JSON.stringify(error)} ${everything(error.cause)}`;
}

describe('no error repeats a credential', () => {
  const secret = 'S3cret-Password/1 ($^*+?)[';
  const valid = account(secret);
  const basic = Buffer.from(`alice:${secret}`).toString('base64');
  const spoken = `no: alice ${secret} ${encodeURIComponent(secret)} Basic ${basic}`;

  const answers: readonly (readonly [string, 'blob' | 'token', Fault])[] = [
    ...[400, 401, 403, 404, 416, 429, 500, 503].flatMap((status) => [
      ['blob', 'blob', { kind: 'status', status, code: spoken }] as const,
      ['token', 'token', { kind: 'status', status, code: spoken }] as const,
    ]),
    ['a redirect', 'blob', { kind: 'status', status: 307, headers: { location: `ftp://alice:${secret}@h/${secret}` } }],
    ['a redirect nowhere', 'blob', { kind: 'status', status: 307, headers: { location: `http://[${secret}` } }],
    ['a redirect to nothing', 'blob', { kind: 'status', status: 307, headers: { location: `/${secret}?a=${secret}` } }],
    ['a strange range', 'blob', { kind: 'headers', headers: { 'content-range': `bytes ${secret}` } }],
    ['a strange encoding', 'blob', { kind: 'headers', headers: { 'content-encoding': secret } }],
    ['a closed connection', 'blob', { kind: 'drop' }],
    ['a body that breaks off', 'blob', { kind: 'truncate', after: 10 }],
    ['a token service that is gone', 'token', { kind: 'drop' }],
    ['half a token', 'token', { kind: 'truncate', after: 12 }],
    ['a token of other bytes', 'token', { kind: 'corrupt', at: 3 }],
    [
      'another realm',
      'blob',
      { kind: 'status', status: 401, headers: { 'www-authenticate': `Bearer realm="ftp://${secret}/${secret}"` } },
    ],
    [
      'a challenge nobody knows',
      'blob',
      { kind: 'status', status: 401, headers: { 'www-authenticate': `Negotiate ${basic}` } },
    ],
  ];

  it.each(answers)('%s %s %j', async (_, on, fault) => {
    const { registry, open, blob } = await setUp({ kind: 'token', credentials: valid }, valid);
    const source = open({ credentials: { kind: 'password', ...valid } });
    if (on === 'blob') await source.resolve();
    registry.faults.add({ on, times: 100, fault });
    const error = await collect(source.readBlob(blob.descriptor, { start: 1, end: 50 })).catch(
      (thrown: unknown) => thrown,
    );
    const text = everything(error).toLowerCase();
    expect(error).toBeInstanceOf(Error);
    expect(text).not.toContain(secret.toLowerCase());
    expect(text).not.toContain(encodeURIComponent(secret).toLowerCase());
    expect(text).not.toContain(basic.toLowerCase());
    expect(text).not.toMatch(/token-\d/);
  });
});
