import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { ChunkCache } from '../../src/cache/chunk-cache.ts';
import { attachProfile } from '../../src/image/attach-profile.ts';
import { openContent } from '../../src/mount/image-content.ts';
import { MountWorkers } from '../../src/mount/mount-workers.ts';
import { type ServeImageOptions, serveImage } from '../../src/mount/serve-image.ts';
import { openReferrerTarget, openSource } from '../../src/transport/open.ts';
import { loadZstd } from '../../src/zstd/codec.ts';
import { convertLayers } from '../support/convert-layers.ts';
import { smallImage } from '../support/image.ts';
import { withTemporaryDirectory } from '../support/temporary.ts';

/** Mounts an image that has the profile `worker`, and unmounts it. @returns what the user was told */
function told(options: Pick<ServeImageOptions, 'profile' | 'trace'>): Promise<readonly string[]> {
  return withTemporaryDirectory(async (directory) => {
    const { reference } = await convertLayers(await smallImage(), directory);
    const source = openSource(reference, {});
    const target = openReferrerTarget(reference, {});
    const { descriptor } = await source.resolve();
    await attachProfile({ source, target }, descriptor, {
      name: 'worker',
      document: Buffer.from('{}'),
      hot: undefined,
    });
    const cache = ChunkCache.open(path.join(directory, 'cache'), { maximumBytes: 2 ** 30 });
    const mountPoint = path.join(directory, 'mount');
    mkdirSync(mountPoint);
    const messages: string[] = [];
    const onFailure = (message: string): void => void messages.push(message.replace(reference, 'IMAGE'));
    const server = new MountWorkers(1);
    const served = await serveImage({
      open: (onManifest) => openContent({ source, cache, onManifest }),
      files: cache.files,
      mountPoint,
      server,
      onFailure,
      prefetch: false,
      ...options,
    });
    await served.unmount();
    await server.close();
    cache.close();
    return messages;
  });
}

describe('serveImage()', () => {
  beforeAll(() => loadZstd());

  it('says once that a profile asked for by name is not there, and mounts', async () => {
    expect(await told({ profile: 'other' })).toEqual(['IMAGE: no profile "other" is attached to it (there: worker)']);
  });

  it.each([
    ['nobody named one', {}],
    ['none is wanted', { profile: false as const }],
    ['it is there', { profile: 'worker' }],
    ['it is about to be recorded', { profile: 'other', trace: true }],
  ])('says nothing when %s', async (_, options) => {
    expect(await told(options)).toEqual([]);
  });
});
