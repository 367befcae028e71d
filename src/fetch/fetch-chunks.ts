import type { ChunkStore } from '../bootstrap/chunk-store.ts';
import { hash } from '../digest/hash.ts';
import type { BlobPlace } from '../oci/image.ts';
import { BatchedChunks } from './batched.ts';
import { BlobChunks, type BlobDevice, type BlobImage } from './blob-chunks.ts';
import { CoalescedChunks } from './coalesced.ts';
import type { FailurePolicy } from './failure-policy.ts';
import { type ChunkKeeper, priorities, type ReadPriority } from './fetch-store.ts';
import { RetriedChunks } from './retried.ts';
import type { FetchScheduler } from './scheduler.ts';
import type { Traffic } from './traffic.ts';

/** The chunks of an image over the network, for each kind of reader. */
export interface FetchedChunks extends Readonly<Record<ReadPriority, ChunkStore>> {
  traffic(): Traffic;
  /** Ends what is under way: whoever still waits gets SLUICE_CANCELLED. The places stay the caller's. */
  close(): void;
}

/**
 * The chunks of an image over the network, with every policy in its place: failures are waited for as the mount is to,
 * readers of one chunk share a fetch, neighbours a request, and places take over from one another. Reading ahead goes
 * above the cache: SequentialChunks, with `demand` and `prefetch` of this.
 * @param places - that have its blobs; at least one, best first
 * @param keeper - of chunks that come along
 */
export function fetchChunks(
  places: readonly BlobPlace[],
  image: BlobImage,
  policy: FailurePolicy,
  scheduler: FetchScheduler,
  keeper?: ChunkKeeper,
): FetchedChunks {
  const sources = places.map((place) => ({
    link: scheduler.takeLink(place.name),
    source: new BlobChunks(place, image),
  }));
  const keys = image.devices.map((device) => flightsKey(device, image));
  const batched = new BatchedChunks(sources, image.devices, scheduler, keeper);
  const coalesced = new CoalescedChunks(
    batched,
    keys.map((key) => scheduler.takeFlights(key)),
  );
  const retried = new RetriedChunks(coalesced, policy);
  const [demand, prefetch, background] = priorities.map((priority) => ({
    read: (device: number, chunk: number, signal?: AbortSignal) => retried.read(device, chunk, signal, priority),
  }));
  let isOpen = true;
  return {
    demand: demand ?? retried,
    prefetch: prefetch ?? retried,
    background: background ?? retried,
    traffic: () => batched.traffic(),
    close: () => {
      if (!isOpen) return;
      isOpen = false;
      batched.close();
      for (const { name } of places) scheduler.leaveLink(name);
      for (const key of keys) scheduler.leaveFlights(key);
    },
  };
}

/** A blob, as far as the same chunk of it is the same bytes: images may cut one blob differently. */
function flightsKey({ descriptor, chunks }: BlobDevice, { algorithm }: BlobImage): string {
  const map = Buffer.from(hash('sha256', new Uint8Array(chunks.buffer))).toString('hex');
  return `${descriptor.digest} ${algorithm} ${map}`;
}
