import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { ChunkCache } from '../../src/cache/chunk-cache.ts';
import { NotFoundError } from '../../src/errors.ts';
import { openContent } from '../../src/mount/image-content.ts';
import { MountWorkers } from '../../src/mount/mount-workers.ts';
import { serveImage } from '../../src/mount/serve-image.ts';
import type { ImageSource } from '../../src/oci/image.ts';
import { openSource } from '../../src/transport/open.ts';
import { convertLayers } from '../support/convert-layers.ts';
import { smallImage } from '../support/image.ts';
import { withTemporaryDirectory } from '../support/temporary.ts';

/** The same source, its closing counted. */
function counted(source: ImageSource, resolve: ImageSource['resolve']): { source: ImageSource; closed: () => number } {
  let closed = 0;
  return {
    source: {
      reference: source.reference,
      resolve,
      readManifest: (...args) => source.readManifest(...args),
      readBlob: (...args) => source.readBlob(...args),
      referrers: (...args) => source.referrers(...args),
      localBlob: (...args) => source.localBlob(...args),
      close: async () => {
        closed++;
        await source.close();
      },
    },
    closed: () => closed,
  };
}

describe('serveImage()', () => {
  it.each([
    [
      'there is no image',
      'SLUICE_IMAGE_NOT_FOUND',
      (): never => {
        throw new NotFoundError('SLUICE_IMAGE_NOT_FOUND', 'Cannot find it');
      },
    ],
    ['there is no mount point', 'SLUICE_MOUNT_FAILED', undefined],
  ])('leaves nothing behind when %s', (_, code, fail) =>
    withTemporaryDirectory(async (directory) => {
      const { reference } = await convertLayers(await smallImage(), directory);
      const original = openSource(reference, {});
      const { source, closed } = counted(original, async (signal) => fail?.() ?? original.resolve(signal));
      const cache = ChunkCache.open(path.join(directory, 'cache'), { maximumBytes: 2 ** 30 });
      const mountPoint = path.join(directory, 'nowhere');
      const server = new MountWorkers(1);
      await expect(
        serveImage({
          open: (onManifest) => openContent({ source, cache, onManifest }),
          files: cache.files,
          mountPoint,
          server,
          onFailure: () => undefined,
        }),
      ).rejects.toMatchObject({
        code,
      });
      expect(closed()).toBe(1);
      expect(cache.list().filter(({ isOpen }) => isOpen)).toEqual([]);
      cache.close();
      await server.close();
    }),
  );
});
