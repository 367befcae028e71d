import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { openImage } from '../../src/image/open-image.ts';
import { openSource } from '../../src/transport/open.ts';
import { Containerd } from '../support/containerd.ts';
import { convertLayers } from '../support/convert-layers.ts';
import { DockerRegistry } from '../support/docker-registry.ts';
import { type MemoryImage, memoryImage, smallImage, tarBytes } from '../support/image.ts';
import { run } from '../support/process.ts';
import { TestRegistry } from '../support/registry/test-registry.ts';
import { withTemporaryDirectory } from '../support/temporary.ts';
import { has } from '../support/tools.ts';

async function openedFrom(registry: TestRegistry, image: MemoryImage): Promise<readonly string[]> {
  return withTemporaryDirectory(async (directory) => {
    const reference = `docker://${registry.host}/app:1`;
    await convertLayers(image, directory, { target: reference });
    registry.requests.clear();
    const source = openSource(reference, {});
    const { config, manifest } = await openImage(source);
    await source.close();
    expect(config.process.environment).toEqual(['A=1']);
    return registry.requests.all.flatMap(({ target }) => (target.endsWith(manifest.config.digest) ? [target] : []));
  });
}

describe('publishImage()', () => {
  it('embeds a small config, and openImage() does not ask for it', async () => {
    const registry = await TestRegistry.start();
    try {
      expect(await openedFrom(registry, await smallImage())).toEqual([]);
      const Labels = { long: 'x'.repeat(9000) };
      const large = memoryImage([await tarBytes([])], { config: { Env: ['A=1'], Labels } });
      expect(await openedFrom(registry, large)).toHaveLength(1);
    } finally {
      await registry.close();
    }
  });

  it.skipIf(!has('docker-registry') || !has('skopeo'))('makes a manifest that skopeo copies as it is', async () => {
    await withTemporaryDirectory(async (directory) => {
      const registry = await DockerRegistry.start();
      try {
        const target = `docker://${registry.host}/app:1`;
        const { summary } = await convertLayers(await smallImage(), directory, { target });
        const copy = path.join(directory, 'copy');
        await run('skopeo', ['copy', '--preserve-digests', '--src-tls-verify=false', target, `oci:${copy}:app`]);
        const manifest = await readFile(path.join(copy, 'blobs', ...summary.manifest.split(':')), 'utf8');
        const { config } = JSON.parse(manifest);
        const blob = await readFile(path.join(copy, 'blobs', ...config.digest.split(':')));
        expect(config.data).toBe(blob.toString('base64'));
        expect(JSON.parse(await run('skopeo', ['inspect', '--config', `oci:${copy}:app`])).config.Env).toEqual(['A=1']);
      } finally {
        await registry.close();
      }
    });
  });

  it.skipIf(!has('docker-registry') || !has('containerd') || !has('ctr'))('and containerd fetches', async () => {
    await withTemporaryDirectory(async (directory) => {
      const registry = await DockerRegistry.start();
      const containerd = await Containerd.start();
      try {
        const name = `${registry.host}/app:1`;
        const { summary } = await convertLayers(await smallImage(), directory, { target: `docker://${name}` });
        await containerd.ctr('content', 'fetch', '--plain-http', name);
        expect(await containerd.ctr('images', 'check')).toMatch(/complete \(4\/4\)/);
        expect(await containerd.ctr('images', 'ls')).toContain(summary.manifest);
      } finally {
        await Promise.all([registry.close(), containerd.stop()]);
      }
    });
  });
});
