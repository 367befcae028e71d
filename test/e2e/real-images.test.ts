import { readFile, stat } from 'node:fs/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { ErofsReader } from '../../src/erofs/reader.ts';
import { digestHex, parseDigest } from '../../src/oci/digest.ts';
import { realImages } from '../support/images.ts';
import { withKernelMount } from '../support/kernel-mount.ts';
import { run } from '../support/process.ts';
import { differenceFromContainerd, unpackReference } from '../support/reference.ts';
import { withMount } from '../support/sluice.ts';
import { withTemporaryDirectory } from '../support/temporary.ts';
import { has, isRoot } from '../support/tools.ts';
import { type ConvertedImage, convertedImage, slow, unpackDevices } from './converted.ts';

const images = realImages();
const layout = images?.layout ?? '';
const canMount = images !== undefined && isRoot() && has('zstd', 'tar');
const canCompare = has('containerd', 'ctr', 'skopeo', 'getfattr');

describe.skipIf(!canMount).each(['base', 'python', 'node', 'nginx', 'redis', 'upgrade', 'edge'])(
  '%s, converted',
  slow,
  (tag) => {
    let image: ConvertedImage;
    let reference: string;

    beforeAll(async () => {
      image = await convertedImage(layout, tag);
      if (canCompare) reference = await unpackReference(layout, tag);
    });

    it('is smaller than the gzip layers it was made of, and its bootstrap is small', () => {
      const { files, chunks, bootstrapLayerSize, sourceSize, targetSize } = image.summary;
      const megabytes = [sourceSize, targetSize, bootstrapLayerSize].map((size) => (size / 1e6).toFixed(2));
      console.log(`${tag}: ${megabytes[0]} MB of layers -> ${megabytes[1]} MB, bootstrap ${megabytes[2]} MB`);
      expect(targetSize).toBe(image.manifest.layers.reduce((sum, { size }) => sum + size, 0));
      expect(targetSize).toBeLessThan(sourceSize);
      expect(bootstrapLayerSize).toBeLessThanOrEqual(35 * files + 38 * chunks);
    });

    it.skipIf(!has('fsck.erofs', 'dump.erofs', 'fsverity', 'sha256sum') || !canCompare)(
      'is read by standard tools alone: zstd(1), erofs-utils, fsverity(1) and the kernel',
      () =>
        withTemporaryDirectory(async (directory) => {
          const { bootstrap, devices } = await unpackDevices(image.layout, image.manifest, directory);
          const slots = new ErofsReader(await readFile(bootstrap)).devices;
          expect(slots.map(({ tag }) => tag)).toEqual(
            image.manifest.layers.slice(0, -1).map(({ digest }) => digestHex(parseDigest(digest))),
          );
          const sizes = await Promise.all(devices.map(async (device) => (await stat(device)).size));
          expect(sizes).toEqual(slots.map(({ blocks }) => blocks * 4096));
          const sums = (await run('sha256sum', devices)).trimEnd().split('\n');
          expect(sums.map((line) => `sha256:${line.slice(0, 64)}`)).toEqual(image.config.rootfs.diff_ids.slice(0, -1));

          const options = devices.map((device) => `--device=${device}`);
          expect(await run('fsck.erofs', [...options, bootstrap])).not.toContain('<E>');
          expect(await run('dump.erofs', ['-s', ...options, bootstrap])).toMatch(
            /features: +sb_csum mtime chunked_file/,
          );
          const [root] = (await run('fsverity', ['digest', bootstrap])).split(' ');
          expect([image.summary.root, image.manifest.annotations?.['dev.sluice.root']]).toEqual([root, root]);

          await withKernelMount(bootstrap, devices, async (mounted) => {
            expect(await differenceFromContainerd(reference, mounted, { content: true })).toEqual([]);
          });
        }),
    );

    const engines = tag === 'nginx' ? ['native', 'portable'] : ['native'];
    it.skipIf(!canCompare).each(engines)('is the tree that containerd unpacks, mounted with the %s engine', (engine) =>
      withTemporaryDirectory((cache) =>
        withMount(
          ['--cache-dir', cache, image.reference],
          async (mounted) => {
            expect(await differenceFromContainerd(reference, mounted, { content: true })).toEqual([]);
          },
          { env: { SLUICE_ENGINE: engine } },
        ),
      ),
    );
  },
);
