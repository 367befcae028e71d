import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { Link, type LinkEnd } from './link.ts';
import { run, stopProcess } from './process.ts';
import { has, isRoot } from './tools.ts';

const server = `require('node:net').createServer((socket) => socket.end(Buffer.alloc(+process.argv[1])).on('error', () => {}))
  .listen(7000, '0.0.0.0', () => console.log('ready'))`;
const client = `const start = performance.now(); let bytes = 0;
  const socket = require('node:net').connect(7000, process.argv[1]);
  socket.on('connect', () => console.log('connect', performance.now() - start));
  socket.on('data', (chunk) => { bytes += chunk.length; });
  socket.on('close', () => console.log('end', performance.now() - start, bytes))`;

/** How long it takes to connect and to download `bytes` bytes over the link, in ms. */
async function download(link: Link, bytes: number): Promise<{ connectMs: number; totalMs: number }> {
  const node = (end: LinkEnd, script: string, argument: string): readonly [string, ...string[]] =>
    end.command(process.execPath, '-e', script, argument);
  const [program, ...args] = node(link.server, server, `${bytes}`);
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    await once(child.stdout, 'data');
    const [clientProgram, ...clientArgs] = node(link.client, client, link.server.address);
    const output = await run(clientProgram, clientArgs);
    const [, connectMs = 0] = /connect (\S+)/.exec(output) ?? [];
    const [, totalMs = 0, received] = /end (\S+) (\d+)/.exec(output) ?? [];
    expect(Number(received)).toBe(bytes);
    return { connectMs: Number(connectMs), totalMs: Number(totalMs) };
  } finally {
    await stopProcess(child, 'SIGKILL');
  }
}

describe.skipIf(!isRoot() || !has('cc', 'nsenter'))('Link', () => {
  it('delays and limits what goes through it', async () => {
    const link = await Link.open({ megabitsPerSecond: 40, roundTripMs: 60 });
    try {
      const slow = await download(link, 1_000_000);
      expect(slow.connectMs).toBeGreaterThanOrEqual(60);
      expect(slow.totalMs).toBeGreaterThanOrEqual(60 + (1_000_000 * 8) / 40_000);
      const { toClient } = await link.counters();
      expect(toClient.bytes).toBeGreaterThan(1_000_000);
      await link.reshape({ megabitsPerSecond: 0, roundTripMs: 0 });
      const fast = await download(link, 1_000_000);
      expect(fast.totalMs).toBeLessThan(slow.totalMs);
    } finally {
      await link.close();
    }
  });

  it('can be open twice at once', async () => {
    const links = await Promise.all([1, 2].map(() => Link.open({ megabitsPerSecond: 0, roundTripMs: 0 })));
    try {
      const devices = await Promise.all(
        links.map(({ client }) => run('nsenter', client.command('cat', '/proc/net/dev').slice(1))),
      );
      for (const device of devices) expect(device).toContain('wire0');
    } finally {
      await Promise.all(links.map((link) => link.close()));
    }
  });
});
