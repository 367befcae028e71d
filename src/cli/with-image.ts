import type { ChunkCache } from '../cache/chunk-cache.ts';
import type { OpenImage } from '../image/open-image.ts';
import type { ImageSource, Platform } from '../oci/image.ts';
import { type CacheFlags, defaultCacheSize, type RegistryFlags, registryOptions } from './options.ts';

/** Options of every command that reads a converted image without mounting it. */
export interface ImageFlags extends RegistryFlags, CacheFlags {
  readonly platform?: Platform;
  readonly json?: boolean;
}

/** A converted image that is open, and what its content is read with. */
export interface ImageAtHand {
  readonly source: ImageSource;
  readonly image: OpenImage;
  readonly cache: ChunkCache;
}

/**
 * Opens an image and the cache for as long as `use` takes.
 * @throws {FormatError} SLUICE_MANIFEST_UNSUPPORTED for an image that sluice did not make
 */
export async function withImage<Result>(
  text: string,
  flags: ImageFlags,
  use: (open: ImageAtHand) => Promise<Result>,
  signal?: AbortSignal,
): Promise<Result> {
  const [{ ChunkCache }, { openImage }, { openSource }, { loadZstd }] = await Promise.all([
    import('../cache/chunk-cache.ts'),
    import('../image/open-image.ts'),
    import('../transport/open.ts'),
    import('../zstd/codec.ts'),
  ]);
  await loadZstd();
  const source = openSource(text, registryOptions(flags));
  try {
    const cache = ChunkCache.open(flags.cacheDir, { maximumBytes: defaultCacheSize(flags.cacheDir) });
    try {
      const image = await openImage(source, { files: cache.files, platform: flags.platform, signal });
      return await use({ source, image, cache });
    } finally {
      cache.close();
    }
  } finally {
    await source.close();
  }
}
