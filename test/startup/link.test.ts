import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { openLink, parseLink } from '../../src/startup/link.ts';
import { openReceivedBytes } from '../../src/startup/probes/received-bytes.ts';
import { ShapingProxy } from '../../src/startup/shaping-proxy.ts';
import { Link } from '../support/link.ts';
import { run, stopProcess } from '../support/process.ts';
import { withTemporaryDirectory } from '../support/temporary.ts';
import { has, isRoot } from '../support/tools.ts';

describe('parseLink()', () => {
  it.each([
    ['none', 'none', undefined],
    ['100mbit,20ms', '100mbit-20ms', { megabitsPerSecond: 100, roundTripMs: 20 }],
    ['1gbit,1ms', '1gbit-1ms', { megabitsPerSecond: 1000, roundTripMs: 1 }],
    ['2.5mbit', '2.5mbit', { megabitsPerSecond: 2.5, roundTripMs: 0 }],
    ['0.5ms', '0.5ms', { megabitsPerSecond: 0, roundTripMs: 0.5 }],
  ])('reads %s', (text, name, speed) => {
    expect(parseLink(text)).toEqual({ name, speed });
  });

  it.each([
    '',
    '100',
    '100mbit20ms',
    ',20ms',
    '100mbit,',
    '20ms,100mbit',
    '0mbit',
    '0ms',
    '-1ms',
    '1tbit',
    '200gbit',
    '11000ms',
    'x,1ms',
  ])('refuses "%s"', (text) => {
    expect(() => parseLink(text)).toThrow(expect.objectContaining({ code: 'SLUICE_OPTION_INVALID' }));
  });
});

/** Sends back what it gets. */
async function echoServer(): Promise<Server> {
  const server = createServer({ allowHalfOpen: true }, (socket) => socket.on('error', () => undefined).pipe(socket));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

describe('ShapingProxy', () => {
  it('delays both ways, limits the rate, and counts what arrives', async () => {
    await withTemporaryDirectory(async (directory) => {
      const server = await echoServer();
      const counter = path.join(directory, 'received');
      const speed = { megabitsPerSecond: 40, roundTripMs: 30 };
      const proxy = await ShapingProxy.open((server.address() as AddressInfo).port, speed, counter);
      const sent = Buffer.alloc(500_000, 'x');
      const started = performance.now();
      const socket = connect(proxy.port, '127.0.0.1');
      socket.end(sent);
      const received: Buffer[] = [];
      for await (const piece of socket) received.push(piece as Buffer);
      const elapsed = performance.now() - started;
      expect(Buffer.concat(received).equals(sent)).toBe(true);
      // The handshake's round trip, that of the bytes, and the bytes at 5 MB/s.
      expect(elapsed).toBeGreaterThanOrEqual(60 + 100 - 2);
      const bytes = openReceivedBytes({ kind: 'file', path: counter });
      expect(bytes.read()).toBe(sent.length);
      bytes.close();
      await proxy.close();
      server.close();
    });
  });
});

const server = `require('node:net').createServer((socket) => socket.end()).listen(+process.argv[2], process.argv[1], () => console.log('up'))`;
const client = `const start = performance.now();
  require('node:net').connect(process.argv[2], process.argv[1], () => console.log(performance.now() - start)).resume()`;

describe.skipIf(!isRoot() || !has('cc', 'nsenter'))('openLink()', () => {
  it.each(['none', '50mbit,10ms'])('connects both ends of %s, away from everybody else', async (text) => {
    await (await Link.open({ megabitsPerSecond: 0, roundTripMs: 0 })).close();
    await withTemporaryDirectory(async (directory) => {
      const plan = parseLink(text);
      const link = await openLink(plan, directory);
      const { address, port } = link.registry;
      const [node, ...nodeArgs] = link.server(process.execPath, '-e', server, address, `${port}`);
      const listening = spawn(node, nodeArgs, { stdio: ['ignore', 'pipe', 'inherit'] });
      try {
        await once(listening.stdout, 'data');
        expect(link.kind).toBe(plan.speed === undefined ? 'loopback' : 'wire');
        await link.shape(true);
        const [program, ...args] = link.client(process.execPath, '-e', client, ...link.registryHost.split(':'));
        expect(Number(await run(program, args))).toBeGreaterThanOrEqual(plan.speed?.roundTripMs ?? 0);
        const [inside, ...insideArgs] = link.client('readlink', '/proc/self/ns/net');
        expect(await run(inside, insideArgs)).not.toBe(await run('readlink', ['/proc/self/ns/net']));
      } finally {
        await stopProcess(listening);
        await link.close();
      }
    });
  });
});
