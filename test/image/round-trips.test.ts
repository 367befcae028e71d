import { once } from 'node:events';
import { createServer, request, type Server } from 'node:http';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { FileStore } from '../../src/cache/file-store.ts';
import { hostOf } from '../../src/demo/http-server.ts';
import { attachProfile } from '../../src/image/attach-profile.ts';
import { findProfiles } from '../../src/image/find-profiles.ts';
import { openImage } from '../../src/image/open-image.ts';
import { parseManifest } from '../../src/oci/manifest.ts';
import { openReferrerTarget, openSource, openTarget } from '../../src/transport/open.ts';
import { loadZstd } from '../../src/zstd/codec.ts';
import { convertLayers } from '../support/convert-layers.ts';
import { collect, smallImage } from '../support/image.ts';
import { TestRegistry } from '../support/registry/test-registry.ts';
import { makeTemporaryDirectory, removeTemporaryDirectory } from '../support/temporary.ts';

/** Before an answer of this kind goes out, these must have been asked for, or so many connections be there. */
interface Gate {
  readonly answer: Kind;
  readonly after: readonly Kind[];
  readonly connections?: number;
}

type Kind = 'manifest' | 'bootstrap' | 'referrers' | 'fallback' | 'hot';

/** A proxy that holds answers back until the client has sent what it is to send without waiting for them. */
class GatedProxy {
  readonly asked: Kind[] = [];
  readonly #server: Server;
  readonly #names: (path: string) => Kind;
  #connections = 0;
  #gates: readonly Gate[] = [];
  #changed: () => void = () => undefined;

  private constructor(upstream: string, names: (path: string) => Kind) {
    this.#names = names;
    this.#server = createServer(async (incoming, reply) => {
      const kind = this.#names(incoming.url ?? '');
      this.asked.push(kind);
      this.#changed();
      await this.#opened(kind);
      const { method, url, headers } = incoming;
      const outgoing = request(`http://${upstream}${url}`, { method, headers }, (answer) => {
        reply.writeHead(answer.statusCode ?? 0, answer.headers);
        answer.pipe(reply);
      });
      incoming.pipe(outgoing);
    });
    this.#server.on('connection', () => {
      this.#connections++;
      this.#changed();
    });
  }

  static async start(upstream: string, names: (path: string) => Kind): Promise<GatedProxy> {
    const proxy = new GatedProxy(upstream, names);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  get host(): string {
    return hostOf(this.#server);
  }

  get connections(): number {
    return this.#connections;
  }

  reset(gates: readonly Gate[]): void {
    this.asked.length = 0;
    this.#connections = 0;
    this.#gates = gates;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  async #opened(kind: Kind): Promise<void> {
    const gates = this.#gates.filter(({ answer }) => answer === kind);
    const isOpen = ({ after, connections = 0 }: Gate): boolean =>
      after.every((other) => this.asked.includes(other)) && this.#connections >= connections;
    while (!gates.every(isOpen)) {
      const before = this.#changed;
      await new Promise<void>((resolve) => {
        this.#changed = () => {
          before();
          resolve();
        };
      });
    }
  }
}

const options = { credentials: 'anonymous' } as const;

describe.each([
  { name: 'with the referrers API', referrers: true },
  { name: 'without the referrers API', referrers: false },
])('a start from a registry $name', ({ referrers }) => {
  let directory: string;
  let registry: TestRegistry;
  let proxy: GatedProxy;
  let digest: string;
  let cache: FileStore;
  let caches = 0;

  beforeAll(async () => {
    await loadZstd();
    directory = makeTemporaryDirectory();
    registry = await TestRegistry.start({ referrers });
    const target = `docker://${registry.host}/app:v1`;
    await convertLayers(await smallImage(), directory, { target });
    const place = { source: openSource(target, options), target: openReferrerTarget(target, options) };
    const { descriptor } = await place.source.resolve();
    digest = descriptor.digest;
    const hot = { bytes: Buffer.from('hot pages'), pages: 1 };
    await attachProfile(place, descriptor, { name: 'default', document: Buffer.from('{}'), hot });
    await Promise.all([place.source.close(), place.target.close()]);
    const tag = `/manifests/${digest.replace(':', '-')}`;
    proxy = await GatedProxy.start(registry.host, (text) => {
      if (text.endsWith(tag)) return 'fallback';
      if (text.includes('/referrers/')) return 'referrers';
      if (text.includes('/manifests/')) return 'manifest';
      return proxy.asked.includes('bootstrap') ? 'hot' : 'bootstrap';
    });
  });
  beforeEach(() => {
    cache = new FileStore(path.join(directory, `cache-${caches++}`), 2 ** 24);
  });
  afterEach(() => proxy.reset([]));
  afterAll(async () => {
    await proxy?.close();
    await registry?.close();
    await removeTemporaryDirectory(directory);
  });

  /** What a mount does, as far as the network is concerned. */
  async function start(name: string): Promise<string> {
    const source = openSource(`docker://${proxy.host}/app${name}`, options);
    try {
      let hot: Promise<string> | undefined;
      await openImage(source, {
        files: cache,
        onManifest: (manifest, documents) => {
          hot = findProfiles(documents, manifest).then(async ([profile]) =>
            (await collect(source.readBlob(profile!.hot!.descriptor))).toString(),
          );
        },
      });
      return (await hot) ?? '';
    } finally {
      await source.close();
    }
  }

  it('takes five requests over three connections, which open at once, in three round trips', async () => {
    proxy.reset([
      { answer: 'manifest', after: [], connections: 3 },
      { answer: 'bootstrap', after: ['referrers', 'fallback', 'hot'] },
      { answer: referrers ? 'referrers' : 'fallback', after: ['bootstrap', 'referrers', 'fallback'] },
    ]);
    expect(await start(':v1')).toBe('hot pages');
    expect(proxy.asked[0]).toBe('manifest');
    expect(proxy.asked.toSorted()).toEqual(['bootstrap', 'fallback', 'hot', 'manifest', 'referrers']);
    expect(proxy.connections).toBe(3);
  });

  it('asks for nothing but the pages when the image is known by its digest', async () => {
    await start(`@${digest}`);
    proxy.reset([]);
    // The only blob that is asked for: the proxy takes the first one for the bootstrap.
    expect(await start(`@${digest}`)).toBe('hot pages');
    expect(proxy.asked).toEqual(['bootstrap']);
  });
});

it('a start from a registry with tokens is challenged once, fetches one token, and never pings', async () => {
  const directory = makeTemporaryDirectory();
  const account = { username: 'alice', password: 'secret' };
  const registry = await TestRegistry.start({ auth: { kind: 'token', credentials: account } });
  const credentials = { credentials: { kind: 'password', ...account } } as const;
  try {
    const { reference } = await convertLayers(await smallImage(), directory);
    const text = `docker://${registry.host}/app:v1`;
    const [copied, target] = [openSource(reference, {}), openTarget(text, credentials)];
    const raw = await copied.resolve();
    const { config, layers } = parseManifest(raw);
    for (const blob of [config, ...layers]) await target.putBlob(blob, () => copied.readBlob(blob));
    await target.putManifest(raw, true);
    await target.close();
    registry.requests.clear();
    const source = openSource(text, credentials);
    let profiles: Promise<unknown> | undefined;
    await openImage(source, {
      onManifest: (manifest, documents) => {
        profiles = findProfiles(documents, manifest);
      },
    });
    expect(await profiles).toEqual([]);
    await source.close();
    expect(registry.requests.all.filter(({ status }) => status === 401)).toHaveLength(1);
    expect(registry.requests.of('token')).toHaveLength(1);
    expect(registry.requests.of('ping')).toHaveLength(0);
  } finally {
    await registry.close();
    await removeTemporaryDirectory(directory);
  }
});
