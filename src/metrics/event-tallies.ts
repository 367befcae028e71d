import type { Channel } from 'node:diagnostics_channel';
import {
  type CacheFailed,
  type ChunkCopied,
  type ChunkStored,
  type ChunksEvicted,
  type ChunkVerified,
  cacheChannels,
} from '../cache/channels.ts';
import { IntegrityError, SluiceError } from '../errors.ts';
import {
  type ChunkFetched,
  type ChunkMismatched,
  type FetchRetried,
  fetchChannels,
  type RangeRequested,
} from '../fetch/channels.ts';
import { type HotDone, type HotFailed, type HotGroupRead, hotChannels } from '../hot/channels.ts';
import { missChannels, type ReadFailed } from '../mount/miss-channels.ts';
import {
  type ChunkPrefetched,
  type FilePredicted,
  type PrefetchStopped,
  prefetchChannels,
} from '../prefetch/channels.ts';
import {
  type PlacePassedOver,
  type RequestEnded,
  registryChannels,
  type TokenRequested,
} from '../registry/channels.ts';
import type { Exposition, Family } from './exposition.ts';
import { eventFamilies as families } from './families.ts';
import { LatencyTally, Tally } from './tally.ts';

/** Counts an amount under labels, which are in the order of the family's. */
type Add = (amount: number, ...labels: readonly string[]) => void;

/** What a message on a channel adds to a family. */
interface Source {
  readonly channel: Channel;
  readonly count: (message: unknown, add: Add) => void;
}

interface Rule {
  readonly family: Family;
  readonly known: readonly (readonly string[])[];
  readonly sources: readonly Source[];
}

/** @param count - runs on hot paths: adds, and formats nothing */
function from<Message>(channel: Channel, count: (message: Message, add: Add) => void): Source {
  return { channel, count: (message, add) => count(message as Message, add) };
}

function rule(family: Family, known: readonly (readonly string[])[], ...sources: readonly Source[]): Rule {
  return { family, known, sources };
}

const priorities = [['demand'], ['prefetch'], ['background']];

const fetching: readonly Rule[] = [
  rule(
    families.failures,
    [],
    from<ReadFailed>(missChannels.failed, ({ mountPoint, error }, add) => add(1, mountPoint, codeOf(error))),
  ),
  rule(
    families.requests,
    priorities.map((priority) => [...priority, 'ok']),
    from<RangeRequested>(fetchChannels.request, ({ priority, error }, add) => add(1, priority, resultOf(error))),
  ),
  rule(
    families.requestDuration,
    priorities,
    from<RangeRequested>(fetchChannels.request, ({ priority, durationMs }, add) => add(durationMs, priority)),
  ),
  rule(
    families.networkBytes,
    [...priorities, ['hot']],
    from<RangeRequested>(fetchChannels.request, ({ priority, bytes, error }, add) => {
      if (error === undefined) add(bytes, priority);
    }),
    from<HotDone>(hotChannels.done, ({ received }, add) => add(received, 'hot')),
  ),
  rule(
    families.chunks,
    priorities,
    from<ChunkFetched>(fetchChannels.chunk, ({ priority }, add) => add(1, priority)),
  ),
  rule(
    families.chunkBytes,
    [],
    from<ChunkFetched>(fetchChannels.chunk, ({ uncompressedBytes, priority, place }, add) =>
      add(uncompressedBytes, priority, place),
    ),
  ),
  rule(
    families.retries,
    [],
    from<FetchRetried>(fetchChannels.retry, ({ place, error }, add) => add(1, place ?? 'every', codeOf(error))),
  ),
  rule(
    families.wrongChunks,
    [],
    from<ChunkMismatched>(fetchChannels.mismatch, ({ place }, add) => add(1, place)),
  ),
  rule(
    families.mismatches,
    [['registry'], ['cache'], ['hot']],
    from(fetchChannels.mismatch, (_, add) => add(1, 'registry')),
    from<ChunkVerified>(cacheChannels.verified, ({ good }, add) => {
      if (!good) add(1, 'cache');
    }),
    from<HotFailed>(hotChannels.failed, ({ error }, add) => {
      if (error instanceof IntegrityError) add(1, 'hot');
    }),
  ),
];

const caching: readonly Rule[] = [
  rule(
    families.verified,
    [],
    from<ChunkVerified>(cacheChannels.verified, ({ good }, add) => {
      if (good) add(1);
    }),
  ),
  rule(
    families.stored,
    [],
    from<ChunkStored>(cacheChannels.stored, ({ bytes }, add) => add(bytes)),
  ),
  rule(
    families.copied,
    [],
    from<ChunkCopied>(cacheChannels.copied, ({ bytes }, add) => add(bytes)),
  ),
  rule(
    families.evictions,
    [],
    from<ChunksEvicted>(cacheChannels.evicted, (_, add) => add(1)),
  ),
  rule(
    families.evicted,
    [],
    from<ChunksEvicted>(cacheChannels.evicted, ({ bytes }, add) => add(bytes)),
  ),
  rule(
    families.cacheFailures,
    [],
    from<CacheFailed>(cacheChannels.failed, ({ error }, add) => add(1, codeOf(error))),
  ),
];

const ahead: readonly Rule[] = [
  rule(
    families.hotStreams,
    [['done'], ['failed']],
    from(hotChannels.done, (_, add) => add(1, 'done')),
    from(hotChannels.failed, (_, add) => add(1, 'failed')),
  ),
  rule(
    families.hotPages,
    [],
    from<HotGroupRead>(hotChannels.group, ({ pages }, add) => add(pages)),
  ),
  rule(
    families.predicted,
    [],
    from<FilePredicted>(prefetchChannels.predicted, ({ length, reason }, add) => add(length, reason)),
  ),
  rule(
    families.prefetched,
    [],
    from<ChunkPrefetched>(prefetchChannels.fetched, ({ bytes }, add) => add(bytes)),
  ),
  rule(
    families.prefetchUsed,
    [],
    from<PrefetchStopped>(prefetchChannels.stopped, ({ usedBytes }, add) => add(usedBytes)),
  ),
  rule(
    families.prefetchStops,
    [['closed'], ['unused'], ['failed']],
    from<PrefetchStopped>(prefetchChannels.stopped, ({ reason }, add) => add(1, reason)),
  ),
];

const asking: readonly Rule[] = [
  rule(
    families.exchanges,
    [],
    from<RequestEnded>(registryChannels.request, ({ host, status }, add) =>
      add(1, host, status === 0 ? 'none' : String(status)),
    ),
  ),
  rule(
    families.exchangeDuration,
    [],
    from<RequestEnded>(registryChannels.request, ({ host, durationMs }, add) => add(durationMs, host)),
  ),
  rule(
    families.received,
    [],
    from<RequestEnded>(registryChannels.request, ({ host, bytes }, add) => add(bytes, host)),
  ),
  rule(
    families.tokens,
    [],
    from<TokenRequested>(registryChannels.token, ({ host, error }, add) => add(1, host, resultOf(error))),
  ),
  rule(
    families.passedOver,
    [],
    from<PlacePassedOver>(registryChannels.passedOver, ({ place, error }, add) => add(1, place, codeOf(error))),
  ),
];

/** Counts what the channels tell, from now on. */
export class EventTallies {
  readonly #tallies: (Tally | LatencyTally)[] = [];
  readonly #subscriptions: { readonly channel: Channel; readonly listener: (message: unknown) => void }[] = [];

  constructor() {
    for (const { family, known, sources } of [...fetching, ...caching, ...ahead, ...asking]) {
      const tally = family.type === 'histogram' ? new LatencyTally(family, ...known) : new Tally(family, ...known);
      const add: Add = (amount, ...labels) => tally.add(amount, ...labels);
      this.#tallies.push(tally);
      for (const { channel, count } of sources) {
        const listener = (message: unknown): void => count(message, add);
        channel.subscribe(listener);
        this.#subscriptions.push({ channel, listener });
      }
    }
  }

  show(exposition: Exposition): void {
    for (const tally of this.#tallies) tally.show(exposition);
  }

  close(): void {
    for (const { channel, listener } of this.#subscriptions.splice(0)) channel.unsubscribe(listener);
  }
}

function resultOf(error: unknown): string {
  return error === undefined ? 'ok' : codeOf(error);
}

/** One of the error table's codes: messages, and codes of other people's errors, are too many for a label. */
function codeOf(error: unknown): string {
  if (error instanceof SluiceError) return error.code;
  return error instanceof Error && error.name === 'AbortError' ? 'SLUICE_CANCELLED' : 'other';
}
