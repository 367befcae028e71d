import { BatchedChunks } from '../../src/fetch/batched.ts';
import { BlobChunks } from '../../src/fetch/blob-chunks.ts';
import type { FailurePolicy } from '../../src/fetch/failure-policy.ts';
import { type FetchedChunks, fetchChunks } from '../../src/fetch/fetch-chunks.ts';
import { FetchScheduler } from '../../src/fetch/scheduler.ts';
import type { BlobPlace } from '../../src/oci/image.ts';
import type { SampleBlob } from './memory-blob-source.ts';

export interface QueueOptions {
  readonly blobs: readonly SampleBlob[];
  readonly scheduler?: FetchScheduler;
}

function imageOf(blobs: readonly SampleBlob[]) {
  return { reference: 'oci:sample', algorithm: 'sha256' as const, devices: blobs };
}

/** The queue of an image with these places, and nothing above it. */
export function queueOf(places: readonly BlobPlace[], options: QueueOptions): BatchedChunks {
  const { blobs, scheduler = new FetchScheduler() } = options;
  const sources = places.map((place) => ({
    link: scheduler.takeLink(place.name),
    source: new BlobChunks(place, imageOf(blobs)),
  }));
  return new BatchedChunks(sources, blobs, scheduler);
}

/** All policies. */
export function fetchedOf(
  places: readonly BlobPlace[],
  { blobs, scheduler = new FetchScheduler() }: QueueOptions,
  policy: FailurePolicy = { kind: 'eio' },
): FetchedChunks {
  return fetchChunks(places, imageOf(blobs), policy, scheduler);
}
