import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer } from 'node:net';
import { describe, expect, it } from 'vitest';
import { startContainer } from '../../src/startup/lanes/container.ts';
import { whenReady } from '../../src/startup/readiness.ts';

/** A program in place of a container. */
function start(script: string) {
  return startContainer({
    program: '/bin/sh',
    args: ['-c', script],
    pulledMs: undefined,
    mountedMs: undefined,
    kill: async (_signal, child) => void child.kill('SIGKILL'),
    remove: async () => undefined,
  });
}

const never = new AbortController().signal;

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

describe('whenReady()', () => {
  it.each([
    ['its end', 'exit 3', { kind: 'exit', status: 3 }],
    ['a line of its output', 'echo up; exec sleep 60', { kind: 'line', pattern: '^up$' }],
    ['a line of its complaints', 'echo ready now >&2; exec sleep 60', { kind: 'line', pattern: 'ready' }],
    ['the last thing it says', 'printf up', { kind: 'line', pattern: '^up$' }],
  ] as const)('knows %s', async (_what, script, ready) => {
    const container = start(script);
    try {
      await whenReady(container, ready, never);
    } finally {
      await container.stop();
    }
  });

  it.each([
    ['it ends otherwise', 'echo oh; exit 4', { kind: 'exit', status: 0 }, 'ended with status 4, not 0; it wrote: oh'],
    [
      'it ends in silence',
      'echo down',
      { kind: 'line', pattern: 'up' },
      'status 0 before it was ready; it wrote: down',
    ],
    [
      'it dies before it listens',
      'exit 1',
      { kind: 'tcp', port: 1 },
      'status 1 before it was ready; it wrote: nothing',
    ],
    ['it cannot be started', 'exec /none', { kind: 'http', port: 1, path: '/' }, 'status 127'],
  ] as const)('fails when %s', async (_what, script, ready, words) => {
    const container = start(script);
    await expect(whenReady(container, ready, never)).rejects.toThrow(words);
    await container.stop();
  });

  it('waits for a port that opens later', async () => {
    const port = await freePort();
    const container = start('exec sleep 60');
    const ready = whenReady(container, { kind: 'tcp', port }, never);
    const server = createServer().listen(port, '127.0.0.1');
    try {
      await ready;
      expect(server.listening).toBe(true);
    } finally {
      server.close();
      await container.stop();
    }
  });

  it('waits for 200, and not for any answer', async () => {
    let asked = 0;
    const server = createHttpServer((request, response) => {
      asked += 1;
      response.writeHead(request.url === '/up' && asked > 2 ? 200 : 503).end();
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const container = start('exec sleep 60');
    try {
      const { port } = server.address() as AddressInfo;
      await whenReady(container, { kind: 'http', port, path: '/up' }, never);
      expect(asked).toBe(3);
    } finally {
      server.close();
      await container.stop();
    }
  });

  it('reads on when the container is ready, so that it can write on', async () => {
    const container = start('echo up; head -c 4000000 /dev/zero | tr "\\0" "\\n"; exit 5');
    await whenReady(container, { kind: 'line', pattern: 'up' }, never);
    expect(await container.ended).toBe(5);
    await container.stop();
  });

  it('gives up with the reason of its signal', async () => {
    const container = start('exec sleep 60');
    const late = new Error('too late');
    await expect(whenReady(container, { kind: 'tcp', port: 1 }, AbortSignal.abort(late))).rejects.toBe(late);
    await container.stop();
  });
});
