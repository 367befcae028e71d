import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ImageSource } from '../../src/oci/image.ts';
import { parseReference, type RegistryReference } from '../../src/oci/reference.ts';
import type { PlacePassedOver } from '../../src/registry/channels.ts';
import { registryHosts } from '../../src/registry/hosts.ts';
import { openRegistryImage } from '../../src/registry/registry-image.ts';
import type { RegistryOptions } from '../../src/registry/registry-options.ts';
import { openRegistryTarget } from '../../src/registry/registry-target.ts';
import {
  collect,
  type MemoryBlob,
  type MemoryImage,
  putImage,
  randomBlob,
  smallImage,
  streamOf,
} from '../support/image.ts';
import type { Fault } from '../support/registry/faults.ts';
import { TestRegistry, type TestRegistryOptions } from '../support/registry/test-registry.ts';
import { makeTemporaryDirectory, removeTemporaryDirectory } from '../support/temporary.ts';

const retry = { attempts: 4, baseMs: 1, maximumMs: 2, deadlineMs: 5000 };
const opened: { close(): Promise<void> }[] = [];
const passedOver: PlacePassedOver[] = [];
const note = (message: unknown): void => void passedOver.push(message as PlacePassedOver);
let folder: string;
let image: MemoryImage;
let blob: MemoryBlob;

beforeEach(async () => {
  folder = makeTemporaryDirectory();
  passedOver.length = 0;
  subscribe('sluice:registry:passed-over', note);
  image = await smallImage();
  blob = randomBlob(100_000);
});
afterEach(async () => {
  unsubscribe('sluice:registry:passed-over', note);
  for (const one of opened.splice(0)) await one.close();
  await removeTemporaryDirectory(folder);
});

const referenceOf = (host: string, text = 'team/app:v1') =>
  parseReference(`docker://${host}/${text}`) as RegistryReference;

/** A registry, and somebody who has the same. */
async function place(options: TestRegistryOptions = {}, withImage = true): Promise<TestRegistry> {
  const registry = await TestRegistry.start(options);
  opened.push(registry);
  if (!withImage) return registry;
  const { auth } = options;
  const credentials = auth?.kind === 'basic' ? ({ ...auth, kind: 'password' } as const) : ('anonymous' as const);
  const target = openRegistryTarget(referenceOf(registry.host), { credentials, hostsDirectory: '' });
  await target.putBlob(blob.descriptor, () => streamOf(blob.bytes));
  await putImage(target, image);
  await target.close();
  registry.requests.clear();
  return registry;
}

function open(registry: TestRegistry, options: RegistryOptions, text?: string): ImageSource {
  const environment = { HOME: folder, XDG_RUNTIME_DIR: folder, PATH: process.env.PATH };
  const reference = referenceOf(registry.host, text);
  const source = openRegistryImage(reference, { environment, hostsDirectory: '', retry, stallMs: 500, ...options });
  opened.unshift(source);
  return source;
}

/** containerd's configuration of one registry. */
function configure(host: string, text: string, files: Record<string, string> = {}): string {
  const root = path.join(folder, 'certs.d');
  mkdirSync(path.join(root, host), { recursive: true });
  if (text !== '') writeFileSync(path.join(root, host, 'hosts.toml'), text);
  for (const [name, content] of Object.entries(files)) writeFileSync(path.join(root, host, name), content);
  return root;
}

async function readAll(source: ImageSource): Promise<void> {
  const raw = await source.resolve();
  expect(raw.descriptor).toEqual(image.manifest.descriptor);
  expect((await source.readManifest(raw.descriptor)).bytes.length).toBe(raw.bytes.length);
  expect((await collect(source.readBlob(blob.descriptor))).equals(blob.bytes)).toBe(true);
  const part = await collect(source.readBlob(blob.descriptor, { start: 10, end: 60_000 }));
  expect(part.equals(blob.bytes.subarray(10, 60_000))).toBe(true);
}

describe('a mirror', () => {
  it('is asked first, on behalf of the registry, which is not asked at all', async () => {
    const [registry, mirror] = [await place(), await place()];
    const source = open(registry, { mirrors: [mirror.url] });
    await readAll(source);
    expect(registry.requests.all).toEqual([]);
    for (const { target } of mirror.requests.all) expect(target).toContain(`?ns=${encodeURIComponent(registry.host)}`);
    expect(source.places?.map(({ name }) => name)).toEqual([mirror.url, registry.url]);
    expect(passedOver).toEqual([]);
  });

  const faults: readonly (readonly [string, Fault])[] = [
    ['is closed', { kind: 'drop' }],
    ['does not answer', { kind: 'stall', after: 0 }],
    ['breaks off', { kind: 'truncate', after: 100 }],
    ['lies', { kind: 'corrupt', at: 50 }],
    ['has nothing', { kind: 'status', status: 404 }],
    ['forbids it', { kind: 'status', status: 403 }],
    ['wants to know who asks', { kind: 'status', status: 401, headers: { 'www-authenticate': 'Basic realm="m"' } }],
    ['is overloaded', { kind: 'status', status: 429, headers: { 'retry-after': '3600' } }],
    ['fails', { kind: 'status', status: 500 }],
    ['sends elsewhere', { kind: 'status', status: 307, headers: { location: 'ftp://nowhere/' } }],
  ];
  it.each(faults)('that %s is passed over, and said so', async (_, fault) => {
    const [registry, mirror] = [await place(), await place()];
    mirror.faults.add({ times: 1000, fault });
    const source = open(registry, { mirrors: [mirror.url] });
    const raw = await source.resolve();
    expect(raw.descriptor).toEqual(image.manifest.descriptor);
    expect(await source.referrers(raw.descriptor.digest)).toEqual([]);
    expect((await collect(source.readBlob(blob.descriptor))).equals(blob.bytes)).toBe(true);
    expect(passedOver[0]).toMatchObject({ place: mirror.url, error: expect.any(Error) });
  });

  it('that breaks off in the middle of a range is not begun anew', async () => {
    const [registry, mirror] = [await place(), await place()];
    mirror.faults.add({ on: 'blob', times: 10, fault: { kind: 'truncate', after: 20_000 } });
    const source = open(registry, { mirrors: [mirror.url] });
    const part = await collect(source.readBlob(blob.descriptor, { start: 10, end: 60_000 }));
    expect(part.equals(blob.bytes.subarray(10, 60_000))).toBe(true);
    expect(registry.requests.of('blob').map(({ range }) => range)).toEqual(['bytes=20010-59999']);
  });

  it('that is away is tried once, and then left alone for a while', async () => {
    const [registry, mirror] = [await place(), await place()];
    const { url } = mirror;
    await mirror.pause();
    const source = open(registry, { mirrors: [url] });
    await readAll(source);
    expect(passedOver).toHaveLength(1);
  });

  it('says nothing of a tag when it may not, nor of referrers when it knows none', async () => {
    const [registry, mirror] = [await place(), await place()];
    const toml = `[host."${mirror.url}"]\ncapabilities = ["pull"]`;
    const hostsDirectory = configure(registry.host.replace(':', '_').concat('_'), toml);
    await readAll(open(registry, { hostsDirectory }));
    expect(registry.requests.all.map(({ kind }) => kind)).toEqual(['manifest']);
    expect(mirror.requests.of('blob')).toHaveLength(2);
    const byDigest = open(registry, { hostsDirectory }, `team/app@${image.manifest.descriptor.digest}`);
    registry.requests.clear();
    await byDigest.resolve();
    expect(registry.requests.all).toEqual([]);
    const source = open(registry, { mirrors: [mirror.url] });
    await source.referrers(image.manifest.descriptor.digest);
    expect(registry.requests.of('referrers')).toHaveLength(1);
  });

  it('has an answer of its own for who asks: the registry’s credentials are none of its business', async () => {
    const auth = { kind: 'basic', username: 'alice', password: 'for-the-registry' } as const;
    const [registry, mirror] = [await place({ auth }), await place({ auth })];
    const own = { kind: 'password', username: auth.username, password: auth.password } as const;
    const environment = {
      HOME: folder,
      XDG_RUNTIME_DIR: folder,
      SLUICE_REGISTRY_USERNAME: auth.username,
      SLUICE_REGISTRY_PASSWORD: auth.password,
    };
    for (const options of [{ credentials: own }, { environment }]) {
      await readAll(open(registry, { mirrors: [mirror.url], ...options }));
      expect(mirror.requests.all.length).toBeGreaterThan(0);
      expect(mirror.requests.all.filter(({ authorization }) => authorization !== undefined)).toEqual([]);
    }
    mkdirSync(path.join(folder, '.docker'), { recursive: true });
    const entry = { auth: Buffer.from('alice:for-the-registry').toString('base64') };
    writeFileSync(path.join(folder, '.docker/config.json'), JSON.stringify({ auths: { [mirror.host]: entry } }));
    registry.requests.clear();
    await readAll(open(registry, { mirrors: [mirror.url] }));
    expect(registry.requests.all).toEqual([]);
  });

  it.each([
    ['credentials', 'https://alice:s3cret@mirror.example', /a command line is no place/],
    ['a query', 'https://mirror.example/?token=s3cret', /without query/],
    ['another protocol', 'ftp://alice:s3cret@mirror.example', /http or https/],
    ['nothing', 'http://', /http or https/],
  ])('is refused with %s, which is not shown', (_, mirror, why) => {
    const options = { mirrors: [mirror], hostsDirectory: '' };
    expect(() => registryHosts(referenceOf('h.example'), options)).toThrow(why);
    expect(() => registryHosts(referenceOf('h.example'), options)).not.toThrow(/s3cret/);
  });
});

describe('registryHosts()', () => {
  const hosts = (host: string, options: RegistryOptions) => {
    const { places, registry } = registryHosts(referenceOf(host), options);
    return { places: places.map(({ api }) => api.href), registry: registry.api.href };
  };

  it('takes mirrors of the options, then those of files, then the server', () => {
    const toml = `server = "https://up.example/base"
[host."https://one.example"]
[host."http://two.example:5000/v2/proxy"]
override_path = true
[host."three.example/prefix"]
[host."https://push.example"]
capabilities = ["push"]`;
    const hostsDirectory = configure('_default', toml);
    expect(hosts('r.example', { hostsDirectory, mirrors: ['near.example', '127.0.0.1:5000'] })).toEqual({
      places: [
        'https://near.example/v2',
        'http://127.0.0.1:5000/v2',
        'https://one.example/v2',
        'http://two.example:5000/v2/proxy',
        'https://three.example/prefix/v2',
        'https://up.example/base/v2',
      ],
      registry: 'https://up.example/base/v2',
    });
  });

  it('knows Docker Hub', () => {
    const { places } = registryHosts(referenceOf('docker.io', 'library/busybox'), { hostsDirectory: '' });
    expect(places).toMatchObject([
      { name: 'https://registry-1.docker.io', namespace: undefined, credentialsName: 'docker.io', isRegistry: true },
    ]);
  });

  it.each([
    ['r.example_5000_', 'r.example:5000'],
    ['r.example:5000', 'r.example:5000'],
    ['_default', 'r.example:5000'],
    ['r.example', 'r.example'],
  ])('looks into %s for %s', (name, host) => {
    const hostsDirectory = configure(name, '[host."https://m.example"]');
    expect(hosts(host, { hostsDirectory }).places).toEqual(['https://m.example/v2', `https://${host}/v2`]);
  });

  it('reads certificates, headers and what not to verify', () => {
    const toml = `[host."https://m.example"]
ca = ["ca.pem", "${path.join(folder, 'certs.d/r.example/ca.pem')}"]
client = [["c.cert", "c.key"]]
skip_verify = true
[host."https://m.example".header]
X-Token = ["a", "b"]`;
    const hostsDirectory = configure('r.example', toml, { 'ca.pem': 'CA', 'c.cert': 'CERT', 'c.key': 'KEY' });
    const [mirror] = registryHosts(referenceOf('r.example', 'app'), { hostsDirectory }).places;
    expect(mirror).toMatchObject({
      tls: { certificates: [{ certificate: 'CERT', key: 'KEY' }], skipVerify: true },
      headers: { 'x-token': 'a, b' },
    });
    expect(mirror?.tls.ca?.slice(-2)).toEqual(['CA', 'CA']);
    expect(mirror?.tls.ca?.length).toBeGreaterThan(10);
  });

  it('reads docker’s certificates where there is no hosts.toml', () => {
    const hostsDirectory = configure('r.example', '', {
      'a.crt': 'CA',
      'b.cert': 'CERT',
      'b.key': 'KEY',
      'c.txt': 'x',
    });
    const { registry } = registryHosts(referenceOf('r.example', 'app'), { hostsDirectory });
    expect(registry.tls.certificates).toEqual([{ certificate: 'CERT', key: 'KEY' }]);
    expect(registry.tls.ca?.at(-1)).toBe('CA');
    expect(registry.isRegistry).toBe(true);
  });

  it.each([
    ['an unknown key', '[host."https://m"]\nfoo = 1', /unknown key "foo"/],
    ['an unknown key of the server', 'mirror = "x"', /unknown key "mirror"/],
    ['an unknown capability', '[host."https://m"]\ncapabilities = ["fly"]', /unknown capability "fly"/],
    ['a host that is none', '[host."ftp://m"]', /no http or https URL/],
    ['a host with a password', '[host."https://u:s3cret@m"]', /without credentials/],
    ['another type', '[host."https://m"]\nskip_verify = "yes"', /want true or false/],
    ['a file that is not there', '[host."https://m"]\nca = "nothing.pem"', /ENOENT/],
    ['a header that is none', '[host."https://m".header]\nx = "s3cret\\n"', /a header is none/],
    ['what is no TOML', 'server', /line 1/],
  ])('refuses %s', (_, text, why) => {
    const hostsDirectory = configure('r.example', text);
    const read = () => registryHosts(referenceOf('r.example', 'app'), { hostsDirectory });
    expect(read).toThrow(why);
    expect(read).toThrow(expect.objectContaining({ code: 'SLUICE_CONFIG_INVALID' }));
    expect(read).not.toThrow(/s3cret/);
  });

  it('sends headers to their host alone', async () => {
    const [registry, mirror] = [await place(), await place({ redirectBlobs: true })];
    const toml = `[host."${mirror.url}"]\n[host."${mirror.url}".header]\nauthorization = "Basic own-header"`;
    const hostsDirectory = configure('_default', toml);
    await collect(open(registry, { hostsDirectory }).readBlob(blob.descriptor));
    expect(mirror.requests.of('blob').map(({ authorization }) => authorization)).toEqual(['Basic']);
    expect(mirror.requests.of('signed').map(({ authorization }) => authorization)).toEqual([undefined]);
  });
});
