import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { openTarget } from '../../src/transport/open.ts';
import { type MemoryImage, memoryImage, putImage, smallImage } from '../support/image.ts';
import { realImages } from '../support/images.ts';
import { withKernelMount } from '../support/kernel-mount.ts';
import { differenceFromContainerd, unpackReference } from '../support/reference.ts';
import { convert, errorCode, sluice, withMount } from '../support/sluice.ts';
import { withTemporaryDirectory } from '../support/temporary.ts';
import { has, isRoot } from '../support/tools.ts';
import { blobPath, convertedImage, layoutManifest, slow, unpackDevices } from './converted.ts';

const images = realImages();
const source = images?.layout ?? '';
const canMount = images !== undefined && isRoot() && has('containerd', 'ctr', 'skopeo', 'getfattr', 'zstd', 'tar');

describe.skipIf(!canMount)('sluice convert', slow, () => {
  it('--drop-hidden leaves out of the upgrade image what nobody can see, and nothing else', () =>
    withTemporaryDirectory(async (directory) => {
      const [layout, cache] = [path.join(directory, 'layout'), path.join(directory, 'cache')];
      const all = await convertedImage(source, 'upgrade');
      const args = ['--drop-hidden', '--cache-dir', cache, `oci:${source}:upgrade`, `oci:${layout}:upgrade`];
      const dropped = await convert(args);
      expect(all.summary.hiddenSize).toBeGreaterThan(0);
      expect(dropped.targetSize).toBeLessThan(all.summary.targetSize - all.summary.hiddenSize / 2);
      const reference = await unpackReference(source, 'upgrade');
      const { bootstrap, devices } = await unpackDevices(layout, await layoutManifest(layout, 'upgrade'), directory);
      await withKernelMount(bootstrap, devices, async (mounted) =>
        expect(await differenceFromContainerd(reference, mounted, { content: true })).toEqual([]),
      );
    }));

  it('--digest blake3 makes the same tree, of other chunk digests', () =>
    withTemporaryDirectory(async (directory) => {
      const [layout, cache] = [path.join(directory, 'layout'), path.join(directory, 'cache')];
      const other = await convertedImage(source, 'base');
      const target = `oci:${layout}:base`;
      const summary = await convert(['--digest', 'blake3', '--cache-dir', cache, `oci:${source}:base`, target]);
      expect(summary.root).not.toBe(other.summary.root);
      const reference = await unpackReference(source, 'base');
      await withMount(['--cache-dir', cache, target], async (mounted) =>
        expect(await differenceFromContainerd(reference, mounted, { content: true })).toEqual([]),
      );
    }));
});

async function withLayout(
  image: MemoryImage,
  use: (layout: string, directory: string) => Promise<void>,
): Promise<void> {
  await withTemporaryDirectory(async (directory) => {
    const layout = path.join(directory, 'source');
    const target = openTarget(`oci:${layout}:small`, {});
    await putImage(target, image);
    await target.close();
    await use(layout, directory);
  });
}

async function expectRefusal(layout: string, directory: string, code: string): Promise<void> {
  const target = path.join(directory, 'target');
  const cache = path.join(directory, 'cache');
  const result = await sluice([
    'convert',
    '--json',
    '--cache-dir',
    cache,
    `oci:${layout}:small`,
    `oci:${target}:small`,
  ]);
  expect({ status: result.status, code: errorCode(result), stdout: result.stdout }).toEqual({
    status: 5,
    code,
    stdout: '',
  });
  await expect(layoutManifest(target, 'small')).rejects.toThrow();
}

describe('sluice convert refuses, and tags nothing, when', () => {
  it.each([
    [
      'one byte of a layer is another',
      (bytes: Buffer) => bytes.fill((bytes[40] ?? 0) ^ 1, 40, 41),
      'SLUICE_DIGEST_MISMATCH',
    ],
    ['a layer is cut short', (bytes: Buffer) => bytes.subarray(0, -1), 'SLUICE_SIZE_MISMATCH'],
    [
      'a layer goes on after its end',
      (bytes: Buffer) => Buffer.concat([bytes, Buffer.alloc(1)]),
      'SLUICE_SIZE_MISMATCH',
    ],
  ] as const)('%s', async (_, damage, code) => {
    await withLayout(await smallImage(), async (layout, directory) => {
      const { layers } = await layoutManifest(layout, 'small');
      const file = blobPath(layout, layers[0]?.digest ?? '');
      await writeFile(file, damage(await readFile(file)));
      await expectRefusal(layout, directory, code);
    });
  });

  it('a layer is not the one its diff_id names', async () => {
    const [image, other] = [await smallImage('a'), await smallImage('b')];
    const { config } = other;
    const layers = image.layers.map(({ descriptor }) => descriptor);
    const { manifest } = memoryImage([], { manifest: { config: config.descriptor, layers } });
    await withLayout({ config, layers: image.layers, manifest }, (layout, directory) =>
      expectRefusal(layout, directory, 'SLUICE_DIGEST_MISMATCH'),
    );
  });
});
