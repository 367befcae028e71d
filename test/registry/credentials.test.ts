import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { findCredentials } from '../../src/registry/credentials.ts';
import { makeTemporaryDirectory, removeTemporaryDirectory } from '../support/temporary.ts';

const base64 = (text: string) => Buffer.from(text).toString('base64');

describe('findCredentials()', () => {
  let home: string;
  let environment: NodeJS.ProcessEnv;

  beforeEach(() => {
    home = makeTemporaryDirectory();
    const searchPath = `${home}/bin:${process.env.PATH}`;
    environment = { HOME: home, XDG_RUNTIME_DIR: path.join(home, 'run'), PATH: searchPath };
  });
  afterEach(async () => {
    await removeTemporaryDirectory(home);
  });

  function write(file: string, content: unknown): string {
    const full = path.join(home, file);
    mkdirSync(path.dirname(full), { recursive: true });
    writeFileSync(full, typeof content === 'string' ? content : JSON.stringify(content));
    return full;
  }

  function helper(name: string, script: string): void {
    chmodSync(write(`bin/docker-credential-${name}`, `#!/bin/sh\n${script}\n`), 0o755);
  }

  it.each([
    ['.docker/config.json', {}],
    ['.config/containers/auth.json', {}],
    ['run/containers/auth.json', {}],
    ['elsewhere/config.json', { DOCKER_CONFIG: 'elsewhere' }],
    ['anywhere/auth.json', { REGISTRY_AUTH_FILE: 'anywhere/auth.json' }],
    ['xdg/containers/auth.json', { XDG_CONFIG_HOME: 'xdg' }],
  ])('reads %s', async (file, variables) => {
    write(file, { auths: { 'r.example:5000': { auth: base64('me:pa:ss') } } });
    const paths = Object.entries(variables).map(([name, value]) => [name, path.join(home, value)]);
    const found = await findCredentials('r.example:5000', 'a/b', { ...environment, ...Object.fromEntries(paths) });
    expect(found).toEqual({ kind: 'password', username: 'me', password: 'pa:ss' });
    expect(await findCredentials('other.example', 'a/b', environment)).toBeUndefined();
  });

  it('lets podman’s login of this session win over docker’s', async () => {
    write('.docker/config.json', { auths: { h: { auth: base64('docker:1') } } });
    write('run/containers/auth.json', { auths: { h: { auth: base64('podman:1') } } });
    expect(await findCredentials('h', 'a', environment)).toMatchObject({ username: 'podman' });
  });

  it.each([
    [
      'a key for a part of the repository',
      'h',
      { h: { auth: base64('a:1') }, 'h/team/app': { auth: base64('b:1') } },
      'b',
    ],
    ['a key for another repository', 'h', { h: { auth: base64('a:1') }, 'h/other': { auth: base64('b:1') } }, 'a'],
    ['a key with a scheme', 'h', { 'https://h/v1/': { auth: base64('a:1') } }, 'a'],
    ['Docker Hub’s old name', 'docker.io', { 'https://index.docker.io/v1/': { auth: base64('a:1') } }, 'a'],
  ])('honours %s', async (_, host, auths, username) => {
    write('.docker/config.json', { auths });
    expect(await findCredentials(host, 'team/app/x', environment)).toMatchObject({ username });
  });

  it('prefers an identity token', async () => {
    write('.docker/config.json', { auths: { h: { auth: base64('u:'), identitytoken: 'idt' } } });
    expect(await findCredentials('h', 'a', environment)).toEqual({ kind: 'identity-token', token: 'idt' });
  });

  it('asks the helper for a host, which gets the host on its input', async () => {
    helper('echoing', 'read host; echo "{\\"Username\\":\\"u\\",\\"Secret\\":\\"for-$host-$1\\"}"');
    write('.docker/config.json', { credHelpers: { h: 'echoing' }, auths: { h: { auth: base64('no:no') } } });
    expect(await findCredentials('h', 'a', environment)).toEqual({
      kind: 'password',
      username: 'u',
      password: 'for-h-get',
    });
  });

  it('asks the store for all hosts, and takes its identity tokens', async () => {
    helper('store', 'echo \'{"Username":"<token>","Secret":"idt"}\'');
    write('.docker/config.json', { credsStore: 'store' });
    expect(await findCredentials('h', 'a', environment)).toEqual({ kind: 'identity-token', token: 'idt' });
  });

  it('goes on when a helper knows nothing', async () => {
    helper('empty', 'echo "credentials not found in native keychain"; exit 1');
    write('.docker/config.json', { credsStore: 'empty', auths: { h: { auth: base64('a:1') } } });
    expect(await findCredentials('h', 'a', environment)).toMatchObject({ username: 'a' });
  });

  it.each([
    ['fails', 'failing', 'echo s3cret >&2; exit 1', 'SLUICE_REGISTRY_UNAUTHORIZED'],
    ['is missing', 'nowhere', '', 'SLUICE_REGISTRY_UNAUTHORIZED'],
    ['is a path', '../../bin/sh', '', 'SLUICE_REGISTRY_UNAUTHORIZED'],
    ['talks nonsense', 'nonsense', 'echo "s3cret {"', 'SLUICE_REGISTRY_UNAUTHORIZED'],
  ])('says so when a helper %s, without its words', async (_, name, script, code) => {
    if (script) helper(name, script);
    write('.docker/config.json', { credHelpers: { h: name } });
    const error = await findCredentials('h', 'a', environment).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code });
    expect(String(error)).not.toContain('s3cret');
  });

  it.each([
    ['no JSON', '{'],
    ['another shape', { auths: { h: 'x' } }],
    ['an auth that is none', { auths: { h: { auth: base64('nocolon') } } }],
  ])('says so when a file holds %s', async (_, content) => {
    write('.docker/config.json', content);
    await expect(findCredentials('h', 'a', environment)).rejects.toMatchObject({ exit: 4 });
  });
});
