import type { ChunkStore, LocalChunkStore } from '../bootstrap/chunk-store.ts';
import { CachedChunks } from '../cache/cached-chunks.ts';
import type { CachedDevice } from '../cache/cached-device.ts';
import type { ChunkCache } from '../cache/chunk-cache.ts';
import { defaultFailurePolicy, type FailurePolicy } from '../fetch/failure-policy.ts';
import { fetchChunks } from '../fetch/fetch-chunks.ts';
import { FetchScheduler } from '../fetch/scheduler.ts';
import { SequentialChunks } from '../fetch/sequential.ts';
import type { Traffic } from '../fetch/traffic.ts';
import { digestHex } from '../oci/digest.ts';
import type { BlobPlace, BlobSource } from '../oci/image.ts';
import type { OpenImage } from './open-image.ts';

export interface OpenChunksOptions {
  /** Without one nothing is kept. Stays the caller's. */
  readonly cache?: ChunkCache | undefined;
  /** Default: {@link defaultFailurePolicy}. */
  readonly failure?: FailurePolicy | undefined;
  /** The process's, where it reads several images. Default: one for this image. */
  readonly scheduler?: FetchScheduler | undefined;
}

/** The content of an image: from the cache, else fetched, verified, kept. */
export interface OpenChunks {
  /** Demand: for readers, who wait. Reads that run forward are read ahead. */
  readonly chunks: LocalChunkStore;
  /** The same, for those who expect readers: below demand. */
  readonly prefetch: LocalChunkStore;
  /** The same, for those who want the whole image some day: below everybody else, and without delaying them. */
  readonly background: LocalChunkStore;
  /** In the order of the bootstrap's devices; none without a cache. */
  readonly devices: readonly CachedDevice[];
  /** What was fetched and is being fetched, as of now. */
  traffic(): Traffic;
  /** Ends what is being fetched and closes the devices. The source stays the caller's. */
  close(): void;
}

/**
 * Opens the content of `image`.
 * @param source - of its blobs, or a way to the places that have them
 */
export function openChunks(
  source: BlobSource & { readonly places?: readonly BlobPlace[] },
  image: OpenImage,
  options: OpenChunksOptions = {},
): OpenChunks {
  const { cache, failure = defaultFailurePolicy, scheduler = new FetchScheduler() } = options;
  const { bootstrap, reference } = image;
  const blobDevices = bootstrap.devices.map(({ chunks }, i) => {
    const descriptor = image.blobs[i];
    if (descriptor === undefined) throw new RangeError(`Cannot open device ${i}: the manifest has no such blob`);
    return { descriptor, chunks };
  });
  const blobs = { reference, algorithm: bootstrap.digestAlgorithm, devices: blobDevices };
  const devices = bootstrap.devices.flatMap(({ blob, chunks }) =>
    cache === undefined ? [] : [cache.openDevice(digestHex(blob), chunks, bootstrap.digestAlgorithm)],
  );
  const keeper = cache && {
    has: (device: number, chunk: number) => devices[device]?.has(chunk) ?? false,
    // Who asked for it uses it next.
    keep: (device: number, chunk: number, bytes: Uint8Array) => devices[device]?.store(chunk, bytes, 'ahead') ?? false,
  };
  const places = source.places ?? [onlyPlace(source, reference)];
  const fetched = fetchChunks(places, blobs, failure, scheduler, keeper);
  const abort = new AbortController();
  const kept = (below: ChunkStore, use: 'demand' | 'ahead'): LocalChunkStore =>
    cache === undefined ? { read: below.read, bring: below.read } : new CachedChunks(devices, below, use);
  const demand = kept(fetched.demand, 'demand');
  const prefetch = kept(fetched.prefetch, 'ahead');
  return {
    // What is read ahead has to be kept somewhere.
    chunks: cache === undefined ? demand : new SequentialChunks(demand, prefetch, bootstrap.devices, abort.signal),
    prefetch,
    background: kept(fetched.background, 'ahead'),
    devices,
    traffic: fetched.traffic,
    close: () => {
      abort.abort();
      fetched.close();
      for (const device of devices) device.close();
    },
  };
}

function onlyPlace(source: BlobSource, name: string): BlobPlace {
  return { name, readBlob: (descriptor, range, signal) => source.readBlob(descriptor, range, signal) };
}
