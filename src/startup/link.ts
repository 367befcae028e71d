import { createServer } from 'node:net';
import path from 'node:path';
import { UsageError } from '../errors.ts';
import type { ByteCounter } from './probes/received-bytes.ts';
import type { LinkResult } from './result.ts';
import { ShapingProxy } from './shaping-proxy.ts';
import { type LinkSpeed, Wire, type WireEnd } from './wire.ts';

/** A link that was asked for. */
export interface LinkPlan {
  /** `none`, `100mbit-20ms`. */
  readonly name: string;
  /** Undefined for none. */
  readonly speed: LinkSpeed | undefined;
}

/** What stands between the registry and its client, and how programs are started at both ends. */
export interface Link {
  readonly kind: LinkResult['kind'];
  /** The port at which the registry has to listen, and the address. */
  readonly registry: { readonly address: string; readonly port: number };
  /** Puts words of a command into those that run it at the registry's end, or the client's. */
  readonly server: WireEnd['command'];
  readonly client: WireEnd['command'];
  /** `HOST:PORT` of the registry, for the client. */
  readonly registryHost: string;
  readonly counter: ByteCounter;
  /** The process whose CPU time is the link's own. */
  readonly pid: number | undefined;
  /** Back to its speed, or to no limit at all for what is not measured. */
  shape(on: boolean): Promise<void>;
  close(): Promise<void>;
}

const unlimited: LinkSpeed = { megabitsPerSecond: 0, roundTripMs: 0 };
/** In a namespace of its own no port is taken. */
const registryPort = 5000;
/** Beyond these the numbers say nothing about links any more, and the wire's arithmetic ends. */
const maximumMegabits = 100_000;
const maximumRoundTripMs = 10_000;

/**
 * `none`, or rate and round trip: `100mbit,20ms`, `1gbit,1ms`, `50mbit`, `20ms`. For commander.
 * @throws {UsageError} SLUICE_OPTION_INVALID
 */
export function parseLink(text: string): LinkPlan {
  if (text === 'none') return { name: text, speed: undefined };
  const [, rate, unit, delay] =
    /^(?:(\d+(?:\.\d+)?)(mbit|gbit))?(?:(?:^|(?<=bit),)(\d+(?:\.\d+)?)ms)?$/.exec(text) ?? [];
  const megabitsPerSecond = Number(rate ?? 0) * (unit === 'gbit' ? 1000 : 1);
  const roundTripMs = Number(delay ?? 0);
  const nothing = megabitsPerSecond === 0 && roundTripMs === 0;
  if (text === '' || nothing || megabitsPerSecond > maximumMegabits || roundTripMs > maximumRoundTripMs) {
    throw new UsageError('SLUICE_OPTION_INVALID', `Cannot use link "${text}": want none, or 100mbit,20ms`);
  }
  return { name: text.replace(',', '-'), speed: { megabitsPerSecond, roundTripMs } };
}

/**
 * Opens a link as good as this machine can: a wire between namespaces, else a proxy; without a speed loopback, in a
 * namespace of its own where there can be one. ADR-0010
 * @param folder - for a small file; the caller removes it
 */
export async function openLink({ speed }: LinkPlan, folder: string): Promise<Link> {
  if (Wire.unavailable() === undefined) {
    const wire = await Wire.open(unlimited);
    return speed === undefined ? privateLoopback(wire) : wireLink(wire, speed);
  }
  return speed === undefined ? loopback() : proxyLink(speed, path.join(folder, 'received'));
}

const here: WireEnd['command'] = (...words) => words as readonly [string, ...string[]];

function wireLink(wire: Wire, speed: LinkSpeed): Link {
  return {
    kind: 'wire',
    registry: { address: wire.server.address, port: registryPort },
    server: wire.server.command,
    client: wire.client.command,
    registryHost: `${wire.server.address}:${registryPort}`,
    counter: { kind: 'device', name: 'wire0' },
    pid: wire.pid,
    shape: (on) => wire.reshape(on ? speed : unlimited),
    close: () => wire.close(),
  };
}

/** Both at one end of a wire, on its loopback device: nobody else's bytes are counted, and no port is taken. */
function privateLoopback(wire: Wire): Link {
  return {
    ...openLoopback(registryPort),
    server: wire.server.command,
    client: wire.server.command,
    pid: wire.pid,
    close: () => wire.close(),
  };
}

async function loopback(): Promise<Link> {
  return openLoopback(await freePort());
}

function openLoopback(port: number): Link {
  return {
    kind: 'loopback',
    registry: { address: '127.0.0.1', port },
    server: here,
    client: here,
    registryHost: `127.0.0.1:${port}`,
    counter: { kind: 'device', name: 'lo' },
    pid: undefined,
    shape: () => Promise.resolve(),
    close: () => Promise.resolve(),
  };
}

async function proxyLink(speed: LinkSpeed, counterFile: string): Promise<Link> {
  const port = await freePort();
  const proxy = await ShapingProxy.open(port, unlimited, counterFile);
  return {
    ...openLoopback(port),
    kind: 'proxy',
    registryHost: `127.0.0.1:${proxy.port}`,
    counter: { kind: 'file', path: counterFile },
    pid: process.pid,
    shape: async (on) => proxy.reshape(on ? speed : unlimited),
    close: () => proxy.close(),
  };
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise<void>((resolve) => server.close(() => resolve()));
  return typeof address === 'object' && address !== null ? address.port : 0;
}
