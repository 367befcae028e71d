import type { BlobSource } from '../oci/image.ts';
import { BatchedChunks } from './batched.ts';
import { BlobChunks, type BlobImage } from './blob-chunks.ts';
import { CoalescedChunks } from './coalesced.ts';
import { RetriedChunks } from './retried.ts';

/**
 * The chunks of an image over the network, with every policy in its place: readers of one chunk share a fetch, which is
 * tried again, in one request with its neighbours. Reading ahead goes above the cache: SequentialChunks, with this for
 * demand and `prefetch` for what nobody waits for yet.
 * @param deadlineMs - from the first try of a chunk to the start of the last. Default: 30 s
 */
export function fetchChunks(source: BlobSource, image: BlobImage, deadlineMs?: number): CoalescedChunks {
  const batched = new BatchedChunks(new BlobChunks(source, image), image.devices);
  return new CoalescedChunks(new RetriedChunks(batched, deadlineMs));
}
