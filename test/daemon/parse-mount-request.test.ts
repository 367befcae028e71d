import { describe, expect, it } from 'vitest';
import { parseMountRequest } from '../../src/daemon/parse-mount-request.ts';

const least = {
  image: 'oci:/images:app',
  mountPoint: '/mnt',
  driver: 'fuse',
  prefetch: true,
  trace: false,
  failure: { kind: 'eio' },
  registry: {},
};

const all = {
  ...least,
  platform: { os: 'linux', architecture: 'arm64', variant: 'v8' },
  profile: false,
  failure: { kind: 'wait', milliseconds: 30_000 },
  fill: { kind: 'background', bytesPerSecond: 1e6 },
  registry: {
    plainHttp: true,
    ca: 'PEM',
    credentials: { kind: 'password', username: 'u', password: '' },
    credentialsCommand: ['/bin/who', 'am', 'i'],
    mirrors: ['https://mirror.example'],
    hostsDirectory: '',
    http2: true,
    environment: { HOME: '/root' },
    connections: 4,
    stallMs: 1000,
    retry: { attempts: 1, baseMs: 0, maximumMs: 0, deadlineMs: 0 },
  },
};

describe('parseMountRequest()', () => {
  it.each([
    ['the least', least],
    ['everything', all],
    ['no credentials', { ...least, registry: { credentials: 'anonymous' } }],
  ])('takes %s', (_what, body) => {
    expect(parseMountRequest(body)).toBe(body);
  });

  it.each(Object.keys(least))('misses %s', (name) => {
    const { [name as keyof typeof least]: _, ...body } = least;
    expect(() => parseMountRequest(body)).toThrow(`want "${name}" to be`);
  });

  it.each<[name: string, values: readonly unknown[]]>([
    ['image', [1, '', null, 'a\0b']],
    ['mountPoint', [1, '', 'mnt', './mnt', '/a\0']],
    ['driver', ['FUSE', '', 1, null]],
    ['platform', ['linux/arm64', {}, { os: 'linux' }, { os: 1, architecture: 'x' }, { ...all.platform, abi: 'x' }]],
    ['profile', [true, '', 1]],
    ['prefetch', ['true', 1, null]],
    ['trace', ['true', 0, null]],
    ['failure', ['eio', {}, { kind: 'wait' }, { kind: 'wait', milliseconds: 0 }, { kind: 'eio', milliseconds: 1 }]],
    ['fill', [true, {}, { kind: 'slow' }, { kind: 'eager', bytesPerSecond: 0 }, { kind: 'eager', rate: 1 }]],
    ['registry', [null, [], 'x', { insecure: true }, { constructor: 1 }]],
    ['fil', [{ kind: 'eager' }]],
    ['__proto__', [{}]],
  ])('refuses other values of %s', (name, values) => {
    for (const value of values) {
      const body = JSON.parse(JSON.stringify({ ...least, x: value }).replace('"x":', `"${name}":`)) as typeof least;
      expect(() => parseMountRequest(body), JSON.stringify(value)).toThrow(
        expect.objectContaining({ code: 'SLUICE_OPTION_INVALID', message: expect.stringContaining(`"${name}"`) }),
      );
    }
  });

  it.each<[name: string, values: readonly unknown[]]>([
    ['plainHttp', ['yes']],
    ['ca', ['', ['PEM']]],
    ['credentials', ['me', {}, { kind: 'password', username: 'u' }, { kind: 'identity-token', token: 1 }]],
    ['credentialsCommand', ['rm -rf', [1]]],
    ['mirrors', ['https://x', [null]]],
    ['hostsDirectory', [false]],
    ['http2', [1]],
    ['environment', [['HOME=/'], { HOME: null }, 'HOME=/']],
    ['connections', [0, 1.5, '4']],
    ['stallMs', [0, -1]],
    ['retry', [3, { attempts: 3 }, { ...all.registry.retry, attempts: 0 }]],
  ])('refuses other values of registry.%s', (name, values) => {
    for (const value of values) {
      const body = { ...least, registry: { [name]: value } };
      expect(() => parseMountRequest(body), JSON.stringify(value)).toThrow('want "registry" to be');
    }
  });
});
