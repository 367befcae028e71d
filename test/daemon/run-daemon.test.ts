import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync, readSync } from 'node:fs';
import { mkdir, readdir, stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DaemonClient } from '../../src/control/daemon-client.ts';
import type { MountRequest } from '../../src/control/protocol.ts';
import { mountNamespace } from '../../src/control/socket-file.ts';
import { loadNative } from '../../src/native.ts';
import { type Answer, ask } from '../support/ask.ts';
import { convertTree } from '../support/conformance-image.ts';
import { content } from '../support/content.ts';
import { DaemonProcess, daemonProcesses } from '../support/daemon-process.ts';
import { mounts } from '../support/mounts.ts';
import { eventually, runBytes } from '../support/process.ts';
import { sluice } from '../support/sluice.ts';
import { makeTemporaryDirectory, removeTemporaryDirectory } from '../support/temporary.ts';
import { has, isRoot } from '../support/tools.ts';

const command = fileURLToPath(new URL('../../bin/sluice.js', import.meta.url));
const bytes = content('daemon', 300_000);

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}

const codeOf = ({ body }: Answer): string | undefined =>
  (body as { error?: { code?: string } } | undefined)?.error?.code;

describe.skipIf(!isRoot())('sluice daemon', () => {
  let directory: string;
  let image: string;
  let count = 0;

  beforeAll(async () => {
    directory = makeTemporaryDirectory();
    const file = { path: 'file', mode: 0o100644, data: [{ offset: 0, bytes }] };
    image = await convertTree([{ path: '', mode: 0o040755 }, file], directory);
  });
  afterAll(() => removeTemporaryDirectory(directory));

  const fresh = async (): Promise<string> => {
    const at = path.join(directory, `mnt-${count++}`);
    await mkdir(at);
    return at;
  };
  const freshCache = (): string => path.join(directory, `cache-${count++}`);
  const requestFor = (mountPoint: string): MountRequest => ({
    ...{ image, mountPoint, driver: 'fuse', prefetch: true, trace: false },
    ...{ failure: { kind: 'eio' }, registry: {} },
  });
  const isMounted = (at: string): boolean => mounts().some(({ target }) => target === at);
  const isAlive = (pid: number): boolean => existsSync(`/proc/${pid}`);

  describe('answers', () => {
    let daemon: DaemonProcess;
    let at: string;
    let cacheDirectory: string;

    beforeAll(async () => {
      cacheDirectory = freshCache();
      daemon = await DaemonProcess.start(cacheDirectory);
      at = await fresh();
    });
    afterAll(async () => {
      expect(await daemon.stop()).toMatchObject({ status: 0, stdout: '' });
    });

    it('its user alone, and says who it is', async () => {
      expect((await stat(daemon.socket)).mode & 0o777).toBe(0o600);
      expect((await stat(path.dirname(daemon.socket))).mode & 0o777).toBe(0o700);
      const isHeld = loadNative() !== undefined;
      const status = await daemon.status();
      expect(status).toMatchObject({ cacheDirectory, mountNamespace: mountNamespace(), isHeld, mounts: 0 });
      expect(daemonProcesses(cacheDirectory)).toEqual(isHeld ? [daemon.pid, status.pid] : [daemon.pid]);
      expect(status.pid !== daemon.pid).toBe(isHeld);
      expect(Date.now() - Date.parse(status.started)).toBeLessThan(60_000);
      expect((await daemon.status()).started).toBe(status.started);
    });

    it('mounts, and is asked to end that', async () => {
      const mounted = await ask(daemon.socket, 'POST', '/v1/mounts', JSON.stringify(requestFor(at)));
      expect(mounted).toMatchObject({ status: 201, type: 'application/json', body: { mountPoint: at, image } });
      const { id } = mounted.body as { id: number };
      expect(await runBytes('cat', [path.join(at, 'file')])).toEqual(Buffer.from(bytes));
      const again = await ask(daemon.socket, 'POST', '/v1/mounts', JSON.stringify(requestFor(at)));
      expect([again.status, codeOf(again)]).toEqual([400, 'SLUICE_OPTION_INVALID']);
      expect(await ask(daemon.socket, 'DELETE', `/v1/mounts/${id}`)).toMatchObject({ status: 200, body: {} });
      expect(isMounted(at)).toBe(false);
      expect(await ask(daemon.socket, 'DELETE', `/v1/mounts/${id}`)).toMatchObject({ status: 404 });
    });

    it('mounts again where files of an earlier mount are open still', async () => {
      const { id } = await daemon.client.mount(requestFor(at));
      const fd = openSync(path.join(at, 'file'), 'r');
      try {
        expect(await ask(daemon.socket, 'DELETE', `/v1/mounts/${id}`)).toMatchObject({ status: 502 });
        expect(await ask(daemon.socket, 'DELETE', `/v1/mounts/${id}`, '{"lazy":true}')).toMatchObject({ status: 200 });
        const second = await daemon.client.mount(requestFor(at));
        expect(second.id).not.toBe(id);
        expect((await daemon.status()).mounts).toBe(2);
        expect(readSync(fd, Buffer.alloc(10), 0, 10, 0)).toBe(10);
        expect(await ask(daemon.socket, 'DELETE', `/v1/mounts/${second.id}`)).toMatchObject({ status: 200 });
      } finally {
        closeSync(fd);
      }
      await eventually('the first mount to end', async () => ((await daemon.status()).mounts === 0 ? true : undefined));
    });

    const mount = JSON.stringify({ ...requestFor('/mnt'), image: 'oci:/nowhere:app' });
    it.each<[what: string, method: string, url: string, body: string, status: number, code: string]>([
      ['no JSON', 'POST', '/v1/mounts', '{', 400, 'SLUICE_OPTION_INVALID'],
      ['no object', 'POST', '/v1/mounts', '[]', 400, 'SLUICE_OPTION_INVALID'],
      ['nothing', 'POST', '/v1/mounts', '', 400, 'SLUICE_OPTION_INVALID'],
      ['a field too many', 'POST', '/v1/mounts', mount.replace('{', '{"x":1,'), 400, 'SLUICE_OPTION_INVALID'],
      ['a relative path', 'POST', '/v1/mounts', mount.replace('"/mnt"', '"mnt"'), 400, 'SLUICE_OPTION_INVALID'],
      [
        'no reference',
        'POST',
        '/v1/mounts',
        mount.replace(/"oci:[^"]*"/, '"docker://"'),
        400,
        'SLUICE_REFERENCE_INVALID',
      ],
      ['no registry option', 'POST', '/v1/mounts', mount.replace('{}', '{"x":1}'), 400, 'SLUICE_OPTION_INVALID'],
      ['no end', 'POST', '/v1/mounts', `{"image":"${'x'.repeat(8_000_000)}"}`, 400, 'SLUICE_OPTION_INVALID'],
      ['another method', 'PUT', '/v1/mounts', mount, 404, 'SLUICE_PATH_NOT_FOUND'],
      ['another path', 'POST', '/v1/mounts/', mount, 404, 'SLUICE_PATH_NOT_FOUND'],
      ['a mount that is not there', 'GET', '/v1/mounts/77', '', 404, 'SLUICE_MOUNT_NOT_FOUND'],
      ['a number that is none', 'GET', '/v1/mounts/../daemon', '', 404, 'SLUICE_PATH_NOT_FOUND'],
      ['no flag', 'DELETE', '/v1/mounts/77', '{"lazy":"yes"}', 400, 'SLUICE_OPTION_INVALID'],
      ['no program', 'POST', '/v1/upgrade', '{"program":"node"}', 400, 'SLUICE_OPTION_INVALID'],
      ['half a program', 'POST', '/v1/upgrade', '{"program":["node"]}', 400, 'SLUICE_OPTION_INVALID'],
    ])('that it is asked for %s', async (_what, method, url, body, status, code) => {
      const at = await fresh();
      const answer = await ask(daemon.socket, method, url, body.replace('"/mnt"', JSON.stringify(at)));
      expect([answer.status, codeOf(answer)]).toEqual([status, code]);
      expect(isMounted(at)).toBe(false);
      expect((await daemon.status()).mounts).toBe(0);
    });

    it.each<[what: string, change: Partial<MountRequest>, status: number, code: string]>([
      ['is not there', { image: 'oci:/nowhere/at/all:app' }, 404, 'SLUICE_IMAGE_NOT_FOUND'],
      ['has no place', { mountPoint: '/nowhere/at/all' }, 502, 'SLUICE_MOUNT_FAILED'],
      ['has a file for a place', { mountPoint: command }, 502, 'SLUICE_MOUNT_FAILED'],
      ['cannot be reached', { image: 'docker://127.0.0.1:1/app:1' }, 502, 'SLUICE_REGISTRY_UNREACHABLE'],
    ])('that an image %s, and leaves nothing behind', async (_what, change, status, code) => {
      const request = {
        ...requestFor(at),
        registry: { retry: { attempts: 1, baseMs: 0, maximumMs: 0, deadlineMs: 0 } },
      };
      const answer = await ask(daemon.socket, 'POST', '/v1/mounts', JSON.stringify({ ...request, ...change }));
      expect([answer.status, codeOf(answer)]).toEqual([status, code]);
      expect(isMounted(at)).toBe(false);
      const { id } = await daemon.client.mount(requestFor(at));
      expect(await ask(daemon.socket, 'DELETE', `/v1/mounts/${id}`)).toMatchObject({ status: 200 });
    });

    it('that there is one already', async () => {
      const second = await sluice(['daemon', '--cache-dir', cacheDirectory]);
      expect(second).toMatchObject({ status: 9, stdout: '' });
      expect(second.stderr).toContain('SLUICE_DAEMON_RUNS');
      expect((await daemon.status()).cacheDirectory).toBe(cacheDirectory);
    });
  });

  it('does not take the socket of a daemon that has lost its holder', async () => {
    if (loadNative() === undefined) return;
    const cacheDirectory = freshCache();
    const daemon = await DaemonProcess.start(cacheDirectory);
    const { pid } = await daemon.status();
    process.kill(daemon.pid, 'SIGKILL');
    await eventually('the daemon to know', async () => ((await daemon.status()).isHeld ? undefined : true));
    expect(await sluice(['daemon', '--cache-dir', cacheDirectory])).toMatchObject({ status: 9 });
    const upgrade = await ask(daemon.socket, 'POST', '/v1/upgrade');
    expect([upgrade.status, codeOf(upgrade)]).toEqual([502, 'SLUICE_UPGRADE_FAILED']);
    process.kill(pid, 'SIGTERM');
    await eventually('the daemon to end', () => (isAlive(pid) ? undefined : true));
  });

  it('says why it cannot listen', async () => {
    const nowhere = await sluice(['daemon', '--cache-dir', freshCache(), '--socket', '/nowhere/at/all.sock']);
    expect([nowhere.status, nowhere.stderr]).toEqual([2, expect.stringContaining('SLUICE_OPTION_INVALID')]);
  });

  it.each(['SIGTERM', 'SIGINT', 'SIGHUP'] as const)('unmounts everything and ends by %s', async (signal) => {
    const cacheDirectory = freshCache();
    const daemon = await DaemonProcess.start(cacheDirectory);
    const places = [await fresh(), await fresh()];
    for (const place of places) await daemon.client.mount(requestFor(place));
    process.kill(daemon.pid, signal);
    expect((await daemon.ended).status).toBe(0);
    expect(places.filter(isMounted)).toEqual([]);
    expect(await readdir(path.join(cacheDirectory, 'run'))).not.toContainEqual(expect.stringMatching(/\.sock$/));
    expect(daemonProcesses(cacheDirectory)).toEqual([]);
  });

  it('waits for open files, though a terminal tells both processes to end, and no longer when told again', async () => {
    const daemon = await DaemonProcess.start(freshCache());
    const at = await fresh();
    await daemon.client.mount(requestFor(at));
    const { pid } = await daemon.status();
    const fd = openSync(path.join(at, 'file'), 'r');
    try {
      process.kill(pid, 'SIGINT');
      process.kill(daemon.pid, 'SIGINT');
      await eventually('the mount to be out of the tree', () => (isMounted(at) ? undefined : true));
      const read = Buffer.alloc(bytes.length);
      expect(readSync(fd, read, 0, read.length, 0)).toBe(bytes.length);
      expect(read.equals(bytes)).toBe(true);
      expect(await daemon.client.mount(requestFor(at)).catch(({ code }) => code)).toBe('SLUICE_DAEMON_ENDS');
      await eventually('the second signal to count', () => {
        if (!isAlive(pid)) return true;
        process.kill(daemon.pid, 'SIGINT');
        return undefined;
      });
      await daemon.ended;
    } finally {
      expect(() => closeSync(fd)).toThrow('ENOTCONN');
    }
  });

  it('gives Prometheus its metrics and nothing else', async () => {
    const port = await freePort();
    const place = `127.0.0.1:${port}`;
    const daemon = await DaemonProcess.start(freshCache(), ['--metrics', place]);
    await daemon.client.mount(requestFor(await fresh()));
    const metrics = await ask(place, 'GET', '/metrics');
    expect(metrics).toMatchObject({ status: 200, type: 'text/plain; version=0.0.4; charset=utf-8' });
    expect(metrics.text).toContain('\nsluice_mounts 1\n');
    expect((await ask(daemon.socket, 'GET', '/metrics')).text).toContain('\nsluice_mounts 1\n');
    for (const [method, url] of [
      ['GET', '/v1/mounts'],
      ['GET', '/v1/daemon'],
      ['DELETE', '/v1/mounts/1'],
      ['POST', '/v1/upgrade'],
      ['POST', '/metrics'],
    ] as const) {
      expect(await ask(place, method, url), url).toMatchObject({ status: 404 });
    }
    expect((await daemon.status()).mounts).toBe(1);
    await daemon.stop();
  });

  describe.skipIf(!has('systemd-socket-activate'))('started by systemd', () => {
    it('listens on the socket it is given, and after an upgrade', async () => {
      const cacheDirectory = freshCache();
      const socket = path.join(directory, 'systemd.sock');
      const args = ['daemon', '--cache-dir', cacheDirectory, '--socket', socket];
      const started = spawn('systemd-socket-activate', ['-l', socket, process.execPath, command, ...args], {
        stdio: 'ignore',
      });
      const ended = once(started, 'exit');
      const client = new DaemonClient(socket);
      const status = await eventually('the daemon to answer', () => client.status());
      const at = await fresh();
      await client.mount(requestFor(at));
      if (status.isHeld) {
        const { pid } = await client.upgrade({});
        const after = await eventually('the next daemon to answer', () => client.status());
        expect(after).toMatchObject({ pid, mounts: 1 });
        expect(pid).not.toBe(status.pid);
      }
      expect(existsSync(socket)).toBe(true);
      expect(await readdir(path.join(cacheDirectory, 'run'))).toEqual([]);
      started.kill('SIGTERM');
      expect(await ended).toEqual([0, null]);
      expect(isMounted(at)).toBe(false);
      // It is systemd's: who comes next is to start the next daemon.
      expect(existsSync(socket)).toBe(true);
    });
  });
});
