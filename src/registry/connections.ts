import type { SecureContextOptions } from 'node:tls';
import type { Agent, Dispatcher } from 'undici';
import { Dialler } from './dialler.ts';
import { proxyFor } from './proxy.ts';
import type { RegistryHost, TlsSettings } from './registry-host.ts';
import type { Environment, RegistryOptions } from './registry-options.ts';
import { loadProxyAgent, loadUndici } from './undici.ts';

const defaultConnections = 8;
const defaultStallMs = 30_000;
const connectMs = 10_000;
/** Longer than the pauses of a container that starts, shorter than what load balancers keep (60 s). */
const keepAliveMs = 30_000;

/** What a socket is secured with, as node takes it. */
export interface SecureOptions extends Pick<SecureContextOptions, 'ca' | 'cert' | 'key'> {
  readonly rejectUnauthorized?: boolean;
  readonly ALPNProtocols: string[];
}

/**
 * Connections to one host, and to wherever it redirects: direct, or through the proxy that the environment names. A
 * client's certificate, and trust in whoever answers, are for the host alone.
 */
export class Connections {
  readonly #host: RegistryHost;
  readonly #environment: Environment;
  readonly #http2: boolean;
  readonly #options: Agent.Options & { readonly connections: number };
  readonly #dialler: Dialler;
  #direct: Agent | undefined;
  /** One for the host, and one for all others, of each proxy. */
  readonly #proxied = new Map<string, Dispatcher>();

  constructor(host: RegistryHost, options: RegistryOptions) {
    this.#host = host;
    this.#environment = options.environment ?? process.env;
    this.#http2 = options.http2 ?? false;
    this.#dialler = new Dialler((url) => this.#secure(url));
    const stallMs = options.stallMs ?? defaultStallMs;
    this.#options = {
      connections: options.connections ?? defaultConnections,
      // Of HTTP/2, one connection carries as many requests as its server likes.
      ...(this.#http2 ? {} : { pipelining: 1 }),
      keepAliveTimeout: keepAliveMs,
      headersTimeout: stallMs,
      bodyTimeout: stallMs,
      allowH2: this.#http2,
    };
  }

  /** Opens connections for requests to come. Nothing happens when there were requests to this origin before. */
  dial(url: URL, connections: number): void {
    if (proxyFor(url, this.#environment) !== undefined) return;
    this.#dialler.dial(url, Math.min(connections, this.#options.connections));
  }

  /**
   * What a request to `url` goes through. Loads undici with the first one: the mount of a known image need not wait for
   * it.
   * @throws {UsageError} SLUICE_OPTION_INVALID for a proxy that is none
   */
  dispatcher(url: URL): Dispatcher {
    const proxy = proxyFor(url, this.#environment);
    if (proxy !== undefined) return this.#through(proxy, url);
    this.#dialler.dial(url, 1);
    this.#direct ??= this.#openAgent();
    return this.#direct;
  }

  /** Requests under way fail. */
  async close(): Promise<void> {
    this.#dialler.close();
    await Promise.all([this.#direct, ...this.#proxied.values()].map((agent) => agent?.destroy()));
  }

  #secure(url: URL): SecureOptions {
    const { tls, api } = this.#host;
    const ALPNProtocols = this.#http2 ? ['h2', 'http/1.1'] : ['http/1.1'];
    return { ...(url.origin === api.origin ? own(tls) : common(tls)), ALPNProtocols };
  }

  #openAgent(): Agent {
    const { Agent, buildConnector } = loadUndici();
    const connector = (secure: object) => buildConnector({ ...secure, timeout: connectMs, allowH2: this.#http2 });
    const connectOwn = connector(own(this.#host.tls));
    const connectOther = connector(common(this.#host.tls));
    return new Agent({
      ...this.#options,
      connect: (target, callback) => {
        const origin = `${target.protocol}//${target.host}`;
        const dialled = this.#dialler.take(origin);
        if (dialled === undefined) (origin === this.#host.api.origin ? connectOwn : connectOther)(target, callback);
        else
          dialled.then(
            (socket) => callback(null, socket),
            (error) => callback(error, null),
          );
      },
    });
  }

  #through(proxy: URL, url: URL): Dispatcher {
    const isOwn = url.origin === this.#host.api.origin;
    const key = `${isOwn} ${proxy.href}`;
    const known = this.#proxied.get(key);
    if (known !== undefined) return known;
    const { Pool, ProxyAgent } = loadProxyAgent();
    const agent = new ProxyAgent({
      ...this.#options,
      uri: proxy.href,
      // Plain http is asked for as proxies always were: many refuse to tunnel to any other port than 443.
      proxyTunnel: false,
      requestTls: { ...(isOwn ? own : common)(this.#host.tls), timeout: connectMs, allowH2: this.#http2 },
      factory: (origin, options) => new Pool(origin, { ...this.#options, ...options }),
    });
    this.#proxied.set(key, agent);
    return agent;
  }
}

function common({ ca }: TlsSettings): Pick<SecureOptions, 'ca'> {
  return ca === undefined ? {} : { ca: [...ca] };
}

function own(tls: TlsSettings): Omit<SecureOptions, 'ALPNProtocols'> {
  const pairs = tls.certificates ?? [];
  return {
    ...common(tls),
    ...(pairs.length === 0 ? {} : { cert: pairs.map((one) => one.certificate), key: pairs.map((one) => one.key) }),
    ...(tls.skipVerify ? { rejectUnauthorized: false } : {}),
  };
}
