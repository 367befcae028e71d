import type { ImageContent } from '../mount/image-content.ts';

/** Chunks asked for together: enough for long range requests. They are in memory at once: some ten megabytes. */
const windowChunks = 256;

/**
 * Fetches what of an image is not in the cache yet, verifies it, and keeps it there, for every mount of the image.
 * @throws what fetching throws; what came before is kept
 */
export async function fetchAll({ image, chunks: { prefetch } }: ImageContent, signal: AbortSignal): Promise<void> {
  for (const [device, { chunks }] of image.bootstrap.devices.entries()) {
    for (let first = 0; first < chunks.count; first += windowChunks) {
      const length = Math.min(windowChunks, chunks.count - first);
      await Promise.all(Array.from({ length }, (_, i) => prefetch.read(device, first + i, signal)));
    }
  }
}
