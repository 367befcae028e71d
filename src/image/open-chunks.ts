import type { ChunkStore } from '../bootstrap/chunk-store.ts';
import { CachedChunks } from '../cache/cached-chunks.ts';
import type { CachedDevice } from '../cache/cached-device.ts';
import type { ChunkCache } from '../cache/chunk-cache.ts';
import { fetchChunks } from '../fetch/fetch-chunks.ts';
import { SequentialChunks } from '../fetch/sequential.ts';
import { digestHex } from '../oci/digest.ts';
import type { BlobSource } from '../oci/image.ts';
import type { OpenImage } from './open-image.ts';

/** The content of an image: from the cache, else fetched, verified, kept. */
export interface OpenChunks {
  readonly chunks: ChunkStore;
  /** The same, for those who read ahead: below demand, and kept where there is a cache. */
  readonly prefetch: ChunkStore;
  /** In the order of the bootstrap's devices; none without a cache. */
  readonly devices: readonly CachedDevice[];
  /** Ends what is being read ahead and closes the devices. The source stays the caller's. */
  close(): void;
}

/**
 * Opens the content of `image`. Reads that run forward are read ahead.
 * @param cache - without one nothing is kept
 * @param readTimeoutMs - how long a read is tried again when its source fails. Default: 30 s
 */
export function openChunks(
  source: BlobSource,
  image: OpenImage,
  cache?: ChunkCache,
  readTimeoutMs?: number,
): OpenChunks {
  const { bootstrap, reference } = image;
  const blobDevices = bootstrap.devices.map(({ chunks }, i) => {
    const descriptor = image.blobs[i];
    if (descriptor === undefined) throw new RangeError(`Cannot open device ${i}: the manifest has no such blob`);
    return { descriptor, chunks };
  });
  const blobs = { reference, algorithm: bootstrap.digestAlgorithm, devices: blobDevices };
  const fetched = fetchChunks(source, blobs, readTimeoutMs);
  if (cache === undefined) return { chunks: fetched, prefetch: fetched.prefetch, devices: [], close: () => undefined };
  const devices = bootstrap.devices.map(({ blob, chunks }) =>
    cache.openDevice(digestHex(blob), chunks, bootstrap.digestAlgorithm),
  );
  const abort = new AbortController();
  const demand = new CachedChunks(devices, fetched);
  const prefetch = new CachedChunks(devices, fetched.prefetch, 'ahead');
  return {
    chunks: new SequentialChunks(demand, prefetch, bootstrap.devices, abort.signal),
    prefetch,
    devices,
    close: () => {
      abort.abort();
      for (const device of devices) device.close();
    },
  };
}
