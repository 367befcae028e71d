import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { exportImage } from '../../src/export/export-image.ts';
import { exportTar } from '../../src/export/export-tar.ts';
import { openChunks } from '../../src/image/open-chunks.ts';
import { openImage } from '../../src/image/open-image.ts';
import { resolveConfig } from '../../src/image/resolve.ts';
import { openLayoutTarget } from '../../src/layout/layout-target.ts';
import { loadZstd } from '../../src/zstd/codec.ts';
import { blobFile, convertInto, flipBit, layoutImage, richImage } from '../support/converted.ts';
import { collect } from '../support/image.ts';
import { run } from '../support/process.ts';
import { makeTemporaryDirectory, removeTemporaryDirectory } from '../support/temporary.ts';
import { has, isRoot } from '../support/tools.ts';
import { difference, summarise } from '../support/tree-summary.ts';

const root = makeTemporaryDirectory();
const layout = path.join(root, 'oci');
const dropped = path.join(root, 'dropped', 'oci');
afterAll(() => removeTemporaryDirectory(root));

beforeAll(async () => {
  await loadZstd();
  await convertInto(layout, 'app', await richImage());
  await convertInto(dropped, 'app', await richImage(), true);
});

async function exportTo(folder: string, tag: string) {
  const source = layoutImage(folder, 'app-sluice');
  const image = await openImage(source);
  const { chunks } = openChunks(source, image);
  const target = openLayoutTarget({ transport: 'oci', path: folder, tag });
  return exportImage({ image, blobs: source, chunks, target, workDirectory: path.join(root, 'work') });
}

async function unpack(folder: string, tag: string): Promise<string> {
  const bundle = path.join(folder, '..', `bundle-${tag}`);
  await run('umoci', ['unpack', '--image', `${folder}:${tag}`, bundle]);
  return path.join(bundle, 'rootfs');
}

describe('exportImage()', () => {
  it.skipIf(!has('umoci', 'getfattr') || !isRoot())(
    'makes an image that umoci unpacks to the source’s tree',
    async () => {
      const { droppedFiles } = await exportTo(layout, 'exported');
      expect(droppedFiles).toBe(0);
      const original = await summarise(await unpack(layout, 'app'), { content: true });
      const exported = await summarise(await unpack(layout, 'exported'), { content: true });
      expect(original.size).toBeGreaterThan(10);
      expect(difference(original, exported)).toEqual([]);
    },
  );

  it.skipIf(!has('umoci', 'getfattr') || !isRoot())(
    'keeps the merged tree when hidden content was dropped',
    async () => {
      const { droppedFiles } = await exportTo(dropped, 'exported');
      // hidden/file and replaced; opaque/old is hidden by an opaque marker.
      expect(droppedFiles).toBe(3);
      const original = await summarise(await unpack(dropped, 'app'), { content: true });
      const exported = await summarise(await unpack(dropped, 'exported'), { content: true });
      expect(difference(original, exported)).toEqual([]);
    },
  );

  it('keeps entries and config, and gives the same bytes again', async () => {
    const first = await exportTo(layout, 'one');
    const second = await exportTo(layout, 'two');
    expect(second.layers).toEqual(first.layers);
    const [original, exported] = await Promise.all(
      ['app', 'one'].map(async (tag) => {
        const source = layoutImage(layout, tag);
        return resolveConfig(source, await source.resolve());
      }),
    );
    expect(exported!.config.process).toEqual(original!.config.process);
    expect(exported!.config.diffIds).toEqual(first.layers.map(({ diffId }) => diffId));
    expect(exported!.manifest.annotations).toEqual({});
    expect(exported!.manifest.layers).toHaveLength(2);
  });

  it('writes nothing under the tag when a chunk is damaged', async () => {
    const folder = path.join(root, 'damaged', 'oci');
    await convertInto(folder, 'app', await richImage());
    const { blobs } = await openImage(layoutImage(folder, 'app-sluice'));
    await flipBit(blobFile(folder, blobs[0]!.digest), 2000);
    await expect(exportTo(folder, 'exported')).rejects.toMatchObject({ code: 'SLUICE_DIGEST_MISMATCH' });
    await expect(layoutImage(folder, 'exported').resolve()).rejects.toMatchObject({ code: 'SLUICE_IMAGE_NOT_FOUND' });
  });
});

describe('exportTar()', () => {
  it.skipIf(!has('umoci', 'tar', 'getfattr') || !isRoot())(
    'writes the merged tree, which GNU tar extracts',
    async () => {
      const source = layoutImage(layout, 'app-sluice');
      const image = await openImage(source);
      const tar = path.join(root, 'tree.tar');
      await writeFile(tar, await collect(exportTar(image, openChunks(source, image).chunks)));
      const extracted = path.join(root, 'extracted');
      await mkdir(extracted);
      await run('tar', ['--xattrs', '--xattrs-include=*', '--numeric-owner', '-xpf', tar, '-C', extracted]);
      await convertInto(layout, 'again', await richImage());
      const original = await summarise(await unpack(layout, 'again'), { content: true });
      expect(difference(await summarise(extracted, { content: true }), original)).toEqual([]);
    },
  );
});
