import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ConvertSummary } from '../../src/convert/summary.ts';
import { CountingProxy, type ProxiedRequest } from '../support/counting-proxy.ts';
import { DockerRegistry } from '../support/docker-registry.ts';
import { realImages } from '../support/images.ts';
import { run } from '../support/process.ts';
import { convert, withMount } from '../support/sluice.ts';
import { makeTemporaryDirectory, removeTemporaryDirectory, withTemporaryDirectory } from '../support/temporary.ts';
import { has, isRoot } from '../support/tools.ts';
import { slow } from './converted.ts';

const images = realImages();
const source = (tag: string): string => `oci:${images?.layout}:${tag}`;
const bytesSent = (requests: readonly ProxiedRequest[]): number => requests.reduce((sum, { sent }) => sum + sent, 0);
const bytesReceived = (requests: readonly ProxiedRequest[]): number =>
  requests.reduce((sum, { received }) => sum + received, 0);
/** More than manifest, config and bootstrap need, less than any blob that is worth sharing. */
const smallSize = 400_000;

describe.skipIf(images === undefined || !has('docker-registry'))('a docker-registry', slow, () => {
  let registry: DockerRegistry;
  let proxy: CountingProxy;
  let cache: string;
  let python: ConvertSummary;
  const target = (name: string): string => `docker://${proxy.host}/${name}`;

  beforeAll(async () => {
    cache = makeTemporaryDirectory();
    registry = await DockerRegistry.start();
    proxy = await CountingProxy.start(registry.host);
    python = await convert(['--cache-dir', cache, source('python'), target('python:1')]);
  });

  afterAll(async () => {
    await proxy?.close();
    await registry?.close();
    await removeTemporaryDirectory(cache);
  });

  it('is sent an image once', async () => {
    expect(bytesSent(proxy.take())).toBeGreaterThan(python.targetSize);
    const again = await convert(['--cache-dir', cache, source('python'), target('python:1')]);
    expect(again.manifest).toBe(python.manifest);
    expect(again.layers.map(({ from }) => from)).toEqual(['machine', 'machine', 'machine']);
    expect(again.presentSize).toBe(python.targetSize - python.bootstrapLayerSize);
    const uploads = proxy.take().filter(({ sent }) => sent > 0);
    expect(uploads).toEqual([expect.objectContaining({ method: 'PUT', path: '/v2/python/manifests/1', status: 201 })]);
  });

  it('gives what it has to a machine that never saw the image', () =>
    withTemporaryDirectory(async (fresh) => {
      const again = await convert(['--cache-dir', fresh, source('python'), target('python:1')]);
      expect(again.manifest).toBe(python.manifest);
      expect(again.layers.map(({ from }) => from)).toEqual(['target', 'target', 'target']);
      const requests = proxy.take();
      expect(requests.filter(({ sent }) => sent > 0).length).toBe(1);
      expect(bytesReceived(requests)).toBeLessThan(python.targetSize / 10);
    }));

  it('mounts the layers two images share from one repository into the other', async () => {
    const nginx = await convert(['--cache-dir', cache, source('nginx'), target('nginx:1')]);
    const requests = proxy.take();
    const base = nginx.layers[0];
    expect(base).toMatchObject({ blob: python.layers[0]?.blob, from: 'machine' });
    expect(requests).toContainEqual(
      expect.objectContaining({ path: expect.stringMatching(/nginx.*mount=sha256.*from=python/), status: 201 }),
    );
    const own = nginx.targetSize - (base?.blobSize ?? 0);
    expect(bytesSent(requests)).toBeLessThan(own + smallSize);
  });

  describe.skipIf(!isRoot())('mounted', () => {
    it('is asked for what is read and nothing else', () =>
      withTemporaryDirectory(async (fresh) => {
        proxy.take();
        await withMount(['--no-prefetch', '--cache-dir', fresh, target('python:1')], async (mounted) => {
          const start = proxy.take();
          const [first, ...others] = start.map(({ path }) => path.replace(/sha256.*/, 'sha256'));
          expect(first).toBe('/v2/python/manifests/1');
          expect(others.sort()).toEqual([
            '/v2/python/blobs/sha256',
            '/v2/python/manifests/sha256',
            '/v2/python/referrers/sha256',
          ]);
          expect(bytesReceived(start)).toBeLessThan(python.bootstrapLayerSize + 10_000);

          const listing = await run('find', [mounted, '-ls']);
          expect(listing.split('\n').length).toBeGreaterThan(python.files);
          expect(proxy.take()).toEqual([]);

          expect(await run('chroot', [mounted, '/usr/bin/python3', '/app/app.py'])).toBe('hello from python\n');
          const reads = proxy.take();
          expect(reads.every(({ status }) => status === 206)).toBe(true);
          const share = bytesReceived(reads) / python.targetSize;
          console.log(`python: ${reads.length} requests, ${(share * 100).toFixed(1)} % of the image`);
          expect(share).toBeLessThan(0.2);

          expect(await run('chroot', [mounted, '/usr/bin/python3', '/app/app.py'])).toBe('hello from python\n');
          expect(proxy.take()).toEqual([]);
        });
      }));

    it('is not waited for when the mount ends while what is predicted is on its way', () =>
      withTemporaryDirectory((fresh) => withMount(['--cache-dir', fresh, target('python:1')], () => undefined)));

    it('is asked for the manifest alone when the cache has the image', () =>
      withTemporaryDirectory(async (fresh) => {
        const args = ['--no-prefetch', '--cache-dir', fresh, target('nginx:1')];
        const read = (): Promise<string> =>
          withMount(args, (mounted) => run('sha256sum', [`${mounted}/usr/sbin/nginx`, `${mounted}/etc/passwd`]));
        const digests = (text: string): string[] => text.split('\n').map((line) => line.slice(0, 64));
        const first = digests(await read());
        proxy.take();
        expect(digests(await read())).toEqual(first);
        const paths = proxy.take().map(({ path }) => path.replace(/sha256:.*/, 'sha256'));
        expect(paths).toEqual(['/v2/nginx/manifests/1']);
      }));
  });
});
