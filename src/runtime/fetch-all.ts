import type { ChunkCache } from '../cache/chunk-cache.ts';
import { openChunks } from '../image/open-chunks.ts';
import type { OpenImage } from '../image/open-image.ts';
import type { BlobSource } from '../oci/image.ts';

/** Chunks asked for together: enough for long range requests. They are in memory at once: some ten megabytes. */
const windowChunks = 256;

/**
 * Fetches what of an image is not in the cache yet, verifies it, and keeps it there, for every mount of the image.
 * @throws what fetching throws; what came before is kept
 */
export async function fetchAll(
  source: BlobSource,
  image: OpenImage,
  cache: ChunkCache,
  signal: AbortSignal,
): Promise<void> {
  const opened = openChunks(source, image, cache);
  try {
    for (const [device, { chunks }] of image.bootstrap.devices.entries()) {
      for (let first = 0; first < chunks.count; first += windowChunks) {
        const length = Math.min(windowChunks, chunks.count - first);
        await Promise.all(Array.from({ length }, (_, i) => opened.prefetch.read(device, first + i, signal)));
      }
    }
  } finally {
    opened.close();
  }
}
