import { once } from 'node:events';
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import type { SecureOptions } from './connections.ts';

/** How long a connection may take to come up, and how long one that is up waits for its first request. */
const patienceMs = 10_000;
const keepAliveMs = 60_000;

interface Dialled {
  readonly socket: Socket;
  /** Settles when the connection is up, TLS included, or cannot be made. */
  readonly ready: Promise<unknown>;
}

/**
 * Opens connections before anybody can send on them: while the HTTP client is still loading, and while the first request
 * is on its way, after which several will follow at once. Each saves a round trip, or three with TLS.
 */
export class Dialler {
  readonly #secure: (url: URL) => SecureOptions;
  readonly #dialled = new Map<string, Dialled[]>();

  /** @param secure - asked for https alone */
  constructor(secure: (url: URL) => SecureOptions) {
    this.#secure = secure;
  }

  /** Begins to connect, the first time an origin is named; a connection that nobody takes closes after some seconds. */
  dial(url: URL, count: number): void {
    if (this.#dialled.has(url.origin)) return;
    const dialled = Array.from({ length: count }, () => open(url, this.#secure));
    this.#dialled.set(url.origin, dialled);
  }

  /** A connection that {@link dial} began, the taker's from now on; undefined when there is none any more. */
  take(origin: string): Promise<Socket> | undefined {
    const left = this.#dialled.get(origin) ?? [];
    for (let next = left.shift(); next !== undefined; next = left.shift()) {
      const { socket, ready } = next;
      if (socket.destroyed) continue;
      socket.ref();
      return ready.then(() => socket.setTimeout(0));
    }
    return undefined;
  }

  /** Closes what was not taken. */
  close(): void {
    for (const { socket } of [...this.#dialled.values()].flat()) socket.destroy();
  }
}

function open(url: URL, secure: (url: URL) => SecureOptions): Dialled {
  const tls = url.protocol === 'https:';
  const socket = tls ? connectTls(url, secure(url)) : connectTcp({ host: hostOf(url), port: Number(url.port || 80) });
  const late = Object.assign(new Error('connect timeout'), { code: 'ETIMEDOUT' });
  socket.setNoDelay(true).setKeepAlive(true, keepAliveMs);
  socket.setTimeout(patienceMs, () => socket.destroy(late));
  // Until somebody takes it, the process need not stay for it, and nobody need hear that it failed.
  socket.unref().on('error', () => undefined);
  const ready = once(socket, tls ? 'secureConnect' : 'connect');
  ready.catch(() => undefined);
  return { socket, ready };
}

/** Loaded for https alone. */
function connectTls(url: URL, secure: SecureOptions): Socket {
  const host = hostOf(url);
  return process.getBuiltinModule('node:tls').connect({
    host,
    port: Number(url.port || 443),
    // Source: RFC 6066, section 3: an address is no server name.
    servername: isIP(host) === 0 ? host : '',
    ...secure,
  });
}

function hostOf(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, '');
}
