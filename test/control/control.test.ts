import { once } from 'node:events';
import { mkdir, readdir, stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ChunkCache } from '../../src/cache/chunk-cache.ts';
import { findMounts } from '../../src/control/control-client.ts';
import { ControlServer } from '../../src/control/control-server.ts';
import { offerControl } from '../../src/control/offer-control.ts';
import { openContent } from '../../src/mount/image-content.ts';
import { MountWorkers } from '../../src/mount/mount-workers.ts';
import { type ServedImage, serveImage } from '../../src/mount/serve-image.ts';
import { openSource } from '../../src/transport/open.ts';
import { loadZstd } from '../../src/zstd/codec.ts';
import { ask } from '../support/ask.ts';
import { convertLayers } from '../support/convert-layers.ts';
import { smallImage } from '../support/image.ts';
import { run } from '../support/process.ts';
import { makeTemporaryDirectory, removeTemporaryDirectory, withTemporaryDirectory } from '../support/temporary.ts';
import { isRoot } from '../support/tools.ts';

const socketsOf = (directory: string): Promise<string[]> => readdir(path.join(directory, 'run')).catch(() => []);

describe.skipIf(!isRoot())('ControlServer', () => {
  let directory = '';
  let reference = '';
  let cache: ChunkCache;
  let cacheDirectory = '';
  const served: ServedImage[] = [];

  beforeAll(async () => {
    await loadZstd();
    directory = makeTemporaryDirectory();
    ({ reference } = await convertLayers(await smallImage(), directory));
    cacheDirectory = path.join(directory, 'cache');
    cache = ChunkCache.open(cacheDirectory, { maximumBytes: 2 ** 30 });
    served.push(await serve('one'), await serve('two'));
  });
  afterAll(async () => {
    for (const mount of served) await mount.unmount();
    await workers.close();
    cache.close();
    await removeTemporaryDirectory(directory);
  });

  const workers = new MountWorkers(1);

  async function serve(name: string): Promise<ServedImage> {
    const mountPoint = path.join(directory, name);
    await mkdir(mountPoint);
    const source = openSource(reference, {});
    return serveImage({
      open: (onManifest) => openContent({ source, cache, onManifest }),
      files: cache.files,
      mountPoint,
      server: workers,
      onFailure: () => undefined,
    });
  }

  async function withControl(use: (control: ControlServer) => Promise<void>): Promise<void> {
    const control = await ControlServer.listen(cacheDirectory);
    try {
      for (const mount of served) control.add(mount);
      await use(control);
    } finally {
      control.close();
    }
    expect(await socketsOf(cacheDirectory)).toEqual([]);
  }

  it('lists the mounts of its process to their owner alone', () =>
    withControl(async (control) => {
      expect((await stat(control.file)).mode & 0o777).toBe(0o600);
      expect((await stat(path.dirname(control.file))).mode & 0o777).toBe(0o700);
      expect(await ask(control.file, 'GET', '/v1/mounts')).toMatchObject({
        status: 200,
        body: {
          pid: process.pid,
          mounts: served.map(({ content, mountPoint }, i) => {
            const { root, raw } = content.image;
            const state = expect.objectContaining({ laziness: 'lazy' });
            const manifest = raw.descriptor.digest;
            return { id: i + 1, image: reference, manifest, root, mountPoint, isRecording: false, state };
          }),
        },
      });
    }));

  it('records', () =>
    withControl(async () => {
      const mounts = await findMounts(cacheDirectory);
      expect(mounts.map(({ status }) => status.mountPoint)).toEqual(served.map(({ mountPoint }) => mountPoint));
      const mount = mounts[1]!;
      expect(await mount.startTrace()).toEqual({ pageExact: true });
      expect((await findMounts(cacheDirectory)).map(({ status }) => status.isRecording)).toEqual([false, true]);
      await run('find', [mount.status.mountPoint, '-type', 'f', '-size', '+0', '-exec', 'cat', '{}', '+']);
      const { profile, lost } = await mount.stopTrace('some');
      expect(lost).toBe(0);
      expect(profile).toMatchObject({ name: 'some', root: served[1]?.content.image.root, runs: 1, pageExact: true });
      expect(profile.files.length).toBeGreaterThan(0);
    }));

  it.each([
    ['POST', '/v1/mounts/9/trace', '{"action":"start"}', 404, 'SLUICE_MOUNT_NOT_FOUND'],
    ['POST', '/v1/mounts/1/trace', '{"action":"stop","profile":"x"}', 409, 'SLUICE_TRACE_STATE'],
    ['POST', '/v1/mounts/1/trace', '{"action":"stop","profile":"../x"}', 400, 'SLUICE_OPTION_INVALID'],
    ['POST', '/v1/mounts/1/trace', '{"action":"stop"}', 400, 'SLUICE_OPTION_INVALID'],
    ['POST', '/v1/mounts/1/trace', '{"action":"fly"}', 400, 'SLUICE_OPTION_INVALID'],
    ['POST', '/v1/mounts/1/trace', '[', 400, 'SLUICE_OPTION_INVALID'],
    ['POST', '/v1/mounts/1/trace', 'null', 400, 'SLUICE_OPTION_INVALID'],
    ['POST', '/v1/mounts/1/trace', '{"action":"start","profile":"x"}', 400, 'SLUICE_OPTION_INVALID'],
    ['POST', '/v1/mounts/9/fill', '{"action":"start"}', 404, 'SLUICE_MOUNT_NOT_FOUND'],
    ['POST', '/v1/mounts/1/fill', '{}', 400, 'SLUICE_OPTION_INVALID'],
    ['POST', '/v1/mounts/1/fill', '{"action":"stop"}', 400, 'SLUICE_OPTION_INVALID'],
    ['POST', '/v1/mounts/1/fill', '{"action":"start","bytesPerSecond":0}', 400, 'SLUICE_OPTION_INVALID'],
    ['POST', '/v1/mounts/1/fill', '{"action":"start","bytesPerSecond":"20M"}', 400, 'SLUICE_OPTION_INVALID'],
    ['POST', '/v1/mounts/1/fill', '{"action":"start","rate":1}', 400, 'SLUICE_OPTION_INVALID'],
    ['POST', '/v1/mounts', '{}', 404, 'SLUICE_PATH_NOT_FOUND'],
    ['DELETE', '/v1/mounts/1', '', 404, 'SLUICE_PATH_NOT_FOUND'],
    ['GET', '/v1/mounts/1/trace', '', 404, 'SLUICE_PATH_NOT_FOUND'],
    ['GET', '/v2/mounts', '', 404, 'SLUICE_PATH_NOT_FOUND'],
  ])('answers %s %s %s with %i', (method, url, body, status, code) =>
    withControl(async (control) => {
      expect(await ask(control.file, method, url, body)).toMatchObject({ status, body: { error: { code } } });
    }),
  );

  it('reads no more of a request than it may have', () =>
    withControl(async (control) => {
      const body = `{"action":"start","x":"${'x'.repeat(8_000_000)}"}`;
      const answer = await ask(control.file, 'POST', '/v1/mounts/1/trace', body);
      expect(answer).toMatchObject({
        status: 400,
        body: { error: { message: expect.stringContaining('longer than') } },
      });
    }));

  it('forgets a mount that has ended, and is closed with the only one', async () => {
    const mount = await serve('three');
    const failures: string[] = [];
    await offerControl(cacheDirectory, mount, (message) => failures.push(message));
    expect((await findMounts(cacheDirectory)).length).toBe(1);
    await withControlOf(mount, async () => {
      expect((await findMounts(cacheDirectory)).length).toBe(2);
      await mount.unmount();
      expect(await findMounts(cacheDirectory)).toEqual([]);
    });
    expect(failures).toEqual([]);
    expect(await socketsOf(cacheDirectory)).toEqual([]);
  });

  async function withControlOf(mount: ServedImage, use: () => Promise<void>): Promise<void> {
    const control = await ControlServer.listen(cacheDirectory);
    control.add(mount);
    await use();
    control.close();
  }

  it('is a loss, not a failure, where the path is too long for a socket', () =>
    withTemporaryDirectory(async (directory) => {
      const failures: string[] = [];
      const long = path.join(directory, 'x'.repeat(90));
      await offerControl(long, served[0]!, (message) => failures.push(message));
      expect(failures.join()).toMatch(/will not find this mount: Cannot listen on ".*": \d+ bytes/);
      await expect(ControlServer.listen(long)).rejects.toMatchObject({ code: 'SLUICE_OPTION_INVALID' });
    }));
});

describe('findMounts()', () => {
  it('finds nothing where nobody ever listened', () =>
    withTemporaryDirectory(async (directory) => expect(await findMounts(directory)).toEqual([])));

  it('removes sockets that nobody listens on, and nothing else', () =>
    withTemporaryDirectory(async (directory) => {
      const folder = path.join(directory, 'run');
      await mkdir(folder);
      const dead = path.join(folder, '1-00000000.sock');
      const script = `require('net').createServer().listen(${JSON.stringify(dead)}, () => process.kill(process.pid, 'SIGKILL'))`;
      await expect(run(process.execPath, ['-e', script])).rejects.toThrow('SIGKILL');
      const stranger = createServer((socket) => socket.destroy()).listen(path.join(folder, '2-00000000.sock'));
      await once(stranger, 'listening');
      expect(await socketsOf(directory)).toEqual(['1-00000000.sock', '2-00000000.sock']);
      expect(await findMounts(directory)).toEqual([]);
      expect(await socketsOf(directory)).toEqual(['2-00000000.sock']);
      stranger.close();
    }));
});
