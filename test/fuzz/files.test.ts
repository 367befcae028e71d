import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openDockerArchive } from '../../src/archive/docker-archive.ts';
import { openOciArchive } from '../../src/archive/oci-archive.ts';
import { LayerStore } from '../../src/convert/layer-store.ts';
import { fetchBootstrap, packBootstrap } from '../../src/image/bootstrap-layer.ts';
import { resolveConfig, resolveManifest } from '../../src/image/resolve.ts';
import { openLayoutImage } from '../../src/layout/layout-folder.ts';
import { describeBytes } from '../../src/oci/canonical-json.ts';
import type { ImageSource } from '../../src/oci/image.ts';
import { layoutFileContent } from '../../src/oci/layout-index.ts';
import { mediaType } from '../../src/oci/media-types.ts';
import { findCredentials } from '../../src/registry/credentials.ts';
import { compress, loadZstd } from '../../src/zstd/codec.ts';
import { content } from '../support/content.ts';
import { fuzzAsync } from '../support/fuzz.ts';
import { smallImage, streamOf, tarBytes } from '../support/image.ts';
import { makeTemporaryDirectory, removeTemporaryDirectory } from '../support/temporary.ts';

let directory: string;
beforeAll(async () => {
  await loadZstd();
  directory = makeTemporaryDirectory();
});
afterAll(() => removeTemporaryDirectory(directory));

/** Reads what a conversion reads before the layers. */
async function readImage(source: ImageSource): Promise<void> {
  const raw = await resolveManifest(source, undefined, () => true);
  const { manifest } = await resolveConfig(source, raw);
  for (const layer of manifest.layers) {
    await source.localBlob(layer);
    for await (const _ of source.readBlob(layer));
  }
}

describe('any file in place of ours gives a value or a SluiceError', () => {
  it('a bootstrap layer, with a digest that is right', async () => {
    const { layer, tar } = packBootstrap(content('bootstrap', 3000));
    const fetchFrom = (bytes: Uint8Array): Promise<unknown> =>
      fetchBootstrap({ readBlob: () => streamOf(bytes, 1000) }, describeBytes('', bytes));
    expect(await fuzzAsync(40, layer, fetchFrom)).toBeGreaterThan(0);
    expect(await fuzzAsync(40, tar, (bytes) => fetchFrom(compress(bytes, 1)))).toBeGreaterThan(0);
  });

  it('a layer record', async () => {
    const store = new LayerStore(path.join(directory, 'layers'));
    const key = 'a'.repeat(64);
    const { digest } = describeBytes('', content('blob', 10));
    await store.addRecord(key, {
      blob: digest,
      size: 7,
      deviceDigest: digest,
      repositories: ['a'],
      metadata: Buffer.alloc(3),
    });
    const record = path.join(directory, 'layers', key, 'record.json');
    const sample = Buffer.from(JSON.stringify({ blob: digest, size: 7, deviceDigest: digest, repositories: ['a'] }));
    await fuzzAsync(1500, sample, async (bytes) => {
      await writeFile(record, bytes);
      // Not even a SluiceError: a damaged record counts as none.
      await expect(store.find(key)).resolves.not.toBeNull();
    });
  });

  it('credential files', async () => {
    const file = path.join(directory, 'config.json');
    const auth = Buffer.from('user:password').toString('base64');
    const sample = JSON.stringify({
      auths: { 'https://a.b/v1/': { auth, identitytoken: 't' }, 'c.d/e': { auth } },
      credHelpers: {},
    });
    const environment = { REGISTRY_AUTH_FILE: file, HOME: directory, XDG_RUNTIME_DIR: directory };
    await fuzzAsync(1500, Buffer.from(sample), async (bytes) => {
      // Helpers are programs: which ones there are is the machine's business.
      await writeFile(file, Buffer.from(bytes).toString('latin1').replaceAll('cred', 'Cred'));
      await findCredentials('a.b', 'c', environment);
      await findCredentials('c.d', 'e/f', environment);
    });
  });

  it('an OCI archive, a docker archive', async () => {
    const image = await smallImage();
    const { config, layers, manifest } = image;
    const hex = (digest: string): string => digest.slice('sha256:'.length);
    const saved = [{ Config: 'config.json', RepoTags: ['a:b'], Layers: layers.map((_, i) => `${i}.tar`) }];
    const docker = await tarBytes([
      { name: 'config.json', content: config.bytes },
      ...layers.map(({ bytes }, i) => ({ name: `${i}.tar`, content: bytes })),
      { name: 'manifest.json', content: JSON.stringify(saved) },
    ]);
    const index = { schemaVersion: 2, mediaType: mediaType.ociIndex, manifests: [manifest.descriptor] };
    const oci = await tarBytes([
      { name: 'oci-layout', content: layoutFileContent },
      { name: 'index.json', content: JSON.stringify(index) },
      ...[manifest, config, ...layers].map(({ descriptor, bytes }) => ({
        name: `blobs/sha256/${hex(descriptor.digest)}`,
        content: bytes,
      })),
    ]);
    const file = path.join(directory, 'image.tar');
    const openers = [
      [docker, () => openDockerArchive({ transport: 'docker-archive', path: file, tag: undefined })],
      [oci, () => openOciArchive({ transport: 'oci-archive', path: file, tag: undefined })],
    ] as const;
    for (const [sample, open] of openers) {
      const good = await fuzzAsync(400, sample, async (bytes) => {
        await writeFile(file, bytes);
        const source = open();
        try {
          await readImage(source);
        } finally {
          await source.close();
        }
      });
      expect(good).toBeGreaterThan(0);
    }
  });

  it('any blob of an OCI layout', async () => {
    const { config, layers, manifest } = await smallImage();
    const folder = path.join(directory, 'layout');
    const blobs = path.join(folder, 'blobs', 'sha256');
    await mkdir(blobs, { recursive: true });
    const index = { schemaVersion: 2, mediaType: mediaType.ociIndex, manifests: [manifest.descriptor] };
    const files = [manifest, config, ...layers].map(({ descriptor, bytes }) => ({
      file: path.join(blobs, descriptor.digest.slice('sha256:'.length)),
      bytes,
    }));
    files.push({ file: path.join(folder, 'oci-layout'), bytes: layoutFileContent });
    files.push({ file: path.join(folder, 'index.json'), bytes: Buffer.from(JSON.stringify(index)) });
    for (const { file, bytes } of files) await writeFile(file, bytes);
    for (const { file, bytes } of files) {
      await fuzzAsync(150, bytes, async (damaged) => {
        await writeFile(file, damaged);
        await readImage(openLayoutImage({ transport: 'oci', path: folder, tag: undefined }));
      });
      await fuzzAsync(1, bytes, async () => {
        await writeFile(file, '');
        await readImage(openLayoutImage({ transport: 'oci', path: folder, tag: undefined }));
      });
      await writeFile(file, bytes);
    }
  });
});
