import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { parseReference, type RegistryReference } from '../../src/oci/reference.ts';
import { proxyFor } from '../../src/registry/proxy.ts';
import { openRegistryImage } from '../../src/registry/registry-image.ts';
import type { Environment, RegistryOptions } from '../../src/registry/registry-options.ts';
import { openRegistryTarget } from '../../src/registry/registry-target.ts';
import { collect, putImage, smallImage } from '../support/image.ts';
import { TestRegistry } from '../support/registry/test-registry.ts';
import { TlsFront } from '../support/tls-front.ts';
import { has } from '../support/tools.ts';

const opened: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const one of opened.splice(0)) await one.close();
});

/** Forwards to one port of this machine, whatever host it is asked for: nobody else resolves that host's name. */
class ForwardProxy {
  /** `CONNECT host:port`, `GET url`. */
  readonly asked: string[] = [];
  readonly authorizations = new Set<string | undefined>();
  readonly #server: Server;

  private constructor(port: number) {
    this.#server = createServer((incoming, reply) => {
      this.#note(`${incoming.method} ${incoming.url}`, incoming.headers['proxy-authorization']);
      const { pathname, search } = new URL(incoming.url ?? '');
      void fetch(`http://127.0.0.1:${port}${pathname}${search}`, { redirect: 'manual' }).then(async (answer) => {
        reply.writeHead(answer.status, Object.fromEntries(answer.headers));
        reply.end(Buffer.from(await answer.arrayBuffer()));
      });
    });
    this.#server.on('connect', (incoming, socket, head) => {
      this.#note(`CONNECT ${incoming.url}`, incoming.headers['proxy-authorization']);
      const upstream = connect(port, '127.0.0.1', () => {
        socket.write('HTTP/1.1 200 OK\r\n\r\n');
        upstream.write(head);
        socket.pipe(upstream).pipe(socket);
      });
      for (const end of [socket, upstream]) end.on('error', () => socket.destroy() && upstream.destroy());
    });
  }

  static async start(host: string): Promise<ForwardProxy> {
    const proxy = new ForwardProxy(Number(host.split(':')[1]));
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    opened.push(proxy);
    return proxy;
  }

  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  #note(asked: string, authorization: string | undefined): void {
    this.asked.push(asked);
    this.authorizations.add(authorization);
  }
}

function open(host: string, options: RegistryOptions) {
  const reference = parseReference(`docker://${host}/team/app:v1`) as RegistryReference;
  const retry = { attempts: 1, baseMs: 1, maximumMs: 1, deadlineMs: 1000 };
  const source = openRegistryImage(reference, { credentials: 'anonymous', hostsDirectory: '', retry, ...options });
  opened.unshift(source);
  return source;
}

async function push(host: string, options: RegistryOptions = {}) {
  const reference = parseReference(`docker://${host}/team/app:v1`) as RegistryReference;
  const target = openRegistryTarget(reference, { credentials: 'anonymous', hostsDirectory: '', ...options });
  const image = await smallImage();
  await putImage(target, image);
  await target.close();
  return image;
}

describe('a proxy of the environment', () => {
  it('is asked for plain http by URL, with its password', async () => {
    const registry = await TestRegistry.start();
    opened.push(registry);
    const image = await push(registry.host);
    const proxy = await ForwardProxy.start(registry.host);
    const environment = { http_proxy: `http://user:pass%20word@${proxy.host}` };
    const source = open('registry.test:5000', { plainHttp: true, environment });
    expect((await source.resolve()).descriptor).toEqual(image.manifest.descriptor);
    await collect(source.readBlob(image.config.descriptor));
    expect(proxy.asked).toEqual([
      'GET http://registry.test:5000/v2/team/app/manifests/v1',
      `GET http://registry.test:5000/v2/team/app/blobs/${image.config.descriptor.digest}`,
    ]);
    const expected = `Basic ${Buffer.from('user:pass word').toString('base64')}`;
    expect([...proxy.authorizations]).toEqual([expected]);
  });

  it.skipIf(!has('openssl'))('is a tunnel for https, through which certificates are verified', async () => {
    const registry = await TestRegistry.start();
    const front = await TlsFront.start(registry.host);
    opened.push(front, registry);
    const image = await push(registry.host);
    const proxy = await ForwardProxy.start(front.host);
    const environment = { HTTPS_PROXY: proxy.host, NO_PROXY: 'other.test' };
    for (const http2 of [false, true]) {
      const source = open('registry.test', { ca: front.ca, environment, http2 });
      expect((await source.resolve()).descriptor).toEqual(image.manifest.descriptor);
      const read = await Promise.all(image.layers.map(({ descriptor }) => collect(source.readBlob(descriptor))));
      expect(read.map((bytes) => bytes.length)).toEqual(image.layers.map(({ bytes }) => bytes.length));
      expect(front.asked[0]).toBe(`${http2 ? '2.0' : '1.1'} GET /v2/team/app/manifests/v1`);
      front.asked.length = 0;
    }
    expect(new Set(proxy.asked)).toEqual(new Set(['CONNECT registry.test:443']));
    const refused = { code: 'SLUICE_REGISTRY_PROTOCOL', retryable: false };
    await expect(open('registry.test', { environment }).resolve()).rejects.toMatchObject(refused);
    await expect(open('wrong.test', { ca: front.ca, environment }).resolve()).rejects.toMatchObject(refused);
  });

  it('that is gone, or refuses, is an outage, and its password is nobody’s to read', async () => {
    const registry = await TestRegistry.start();
    opened.push(registry);
    const proxy = await ForwardProxy.start(registry.host);
    const environment = {
      HTTPS_PROXY: `http://user:s3cret@${proxy.host}`,
      HTTP_PROXY: 'http://user:s3cret@127.0.0.1:1',
    };
    for (const plainHttp of [true, false]) {
      const error = await open('registry.test', { plainHttp, environment })
        .resolve()
        .catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(Error);
      expect(`${String(error)} ${JSON.stringify(error)}`).not.toContain('s3cret');
    }
  });
});

describe('proxyFor()', () => {
  const both = { HTTP_PROXY: 'http://plain:1', HTTPS_PROXY: 'secure:2' };
  it.each<[string, Environment, string | undefined]>([
    ['http://a.example/', both, 'http://plain:1/'],
    ['https://a.example/', both, 'http://secure:2/'],
    ['https://a.example/', { HTTP_PROXY: 'http://plain:1' }, undefined],
    ['https://a.example/', { ...both, https_proxy: 'https://lower:3' }, 'https://lower:3/'],
    ['https://a.example/', { ...both, NO_PROXY: 'b.example' }, 'http://secure:2/'],
    ['https://a.example/', { ...both, NO_PROXY: 'b.example, a.example' }, undefined],
    ['https://x.a.example/', { ...both, no_proxy: 'a.example' }, undefined],
    ['https://x.a.example/', { ...both, no_proxy: '*.a.example' }, undefined],
    ['https://a.example/', { ...both, no_proxy: '.a.example' }, 'http://secure:2/'],
    ['https://xa.example/', { ...both, no_proxy: 'a.example' }, 'http://secure:2/'],
    ['https://a.example/', { ...both, no_proxy: '*' }, undefined],
    ['https://a.example:5000/', { ...both, no_proxy: 'a.example:5000' }, undefined],
    ['https://a.example/', { ...both, no_proxy: 'a.example:5000' }, 'http://secure:2/'],
    ['https://a.example/', { ...both, no_proxy: 'a.example:443' }, undefined],
    ['https://10.1.2.3/', { ...both, no_proxy: '10.0.0.0/8' }, undefined],
    ['https://11.1.2.3/', { ...both, no_proxy: '10.0.0.0/8,11.1.2.4' }, 'http://secure:2/'],
    ['https://[fd00::1]/', { ...both, no_proxy: 'fd00::/8' }, undefined],
    ['https://[fd00::1]:5000/', { ...both, no_proxy: '[fd00::1]:5000' }, undefined],
    ['http://127.0.0.1:5000/', both, undefined],
    ['http://localhost:5000/', both, undefined],
    ['http://[::1]:5000/', both, undefined],
    ['http://a.example/', {}, undefined],
    ['http://a.example/', { HTTP_PROXY: '' }, undefined],
  ])('for %s with %j', (url, environment, proxy) => {
    expect(proxyFor(new URL(url), environment)?.href).toBe(proxy);
  });

  it.each(['socks5://user:s3cret@h:1', 'http://[s3cret'])('refuses %s without showing it', (proxy) => {
    const find = () => proxyFor(new URL('http://a.example/'), { HTTP_PROXY: proxy });
    expect(find).toThrow(expect.objectContaining({ code: 'SLUICE_OPTION_INVALID' }));
    expect(find).not.toThrow(/s3cret/);
  });
});
