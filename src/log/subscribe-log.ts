import type { Channel } from 'node:diagnostics_channel';
import { displayText } from '../byte-string.ts';
import { type CacheFailed, type ChunkVerified, cacheChannels } from '../cache/channels.ts';
import { SluiceError } from '../errors.ts';
import { type ChunkMismatched, type FetchRetried, fetchChannels } from '../fetch/channels.ts';
import { type HotFailed, hotChannels } from '../hot/channels.ts';
import { type ImageStale, imageChannels } from '../image/channels.ts';
import { missChannels, type ReadFailed } from '../mount/miss-channels.ts';
import { type FilePredicted, prefetchChannels } from '../prefetch/channels.ts';
import { type PlacePassedOver, registryChannels, type TokenRequested } from '../registry/channels.ts';
import type { LogLevel } from './levels.ts';
import type { Log } from './log.ts';
import type { LogFacts } from './record.ts';
import { RepeatLimit } from './repeat-limit.ts';

/** How the messages of a channel are told. The event is the channel's name, without what all of them begin with. */
interface Translation {
  readonly channel: Channel;
  readonly level: LogLevel;
  /** Undefined: a message not worth a line. */
  readonly facts: (message: unknown) => LogFacts | undefined;
  /** What tells repeated events apart: a mount, or a reason. Events without are not limited. */
  readonly about: ((message: unknown) => string) | undefined;
}

/** Of equal warnings and errors. A registry that is away for a day costs some megabytes of log, not the disk. */
const linesPerMinute = 5;

const everything = (message: unknown): LogFacts => message as LogFacts;

/** Happens often, or goes wrong often: limited. */
function trouble<Message>(
  channel: Channel,
  level: 'warn' | 'error',
  about: (message: Message) => string,
  facts: (message: Message) => LogFacts | undefined = everything,
): Translation {
  return {
    channel,
    level,
    about: (message) => about(message as Message),
    facts: (message) => facts(message as Message),
  };
}

/** For who wants to know: all of them, once a mount or at level debug. */
function news<Message>(
  channel: Channel,
  level: 'info' | 'debug',
  facts: (message: Message) => LogFacts = everything,
): Translation {
  return { channel, level, about: undefined, facts: (message) => facts(message as Message) };
}

const translations: readonly Translation[] = [
  trouble<ReadFailed>(missChannels.failed, 'error', ({ mountPoint, error }) => `${mountPoint} ${codeOf(error)}`),
  trouble<ChunkMismatched>(fetchChannels.mismatch, 'error', ({ place, error }) => `${place} ${codeOf(error)}`),
  trouble<FetchRetried>(fetchChannels.retry, 'warn', ({ place, error }) => `${place ?? 'every'} ${codeOf(error)}`),
  trouble<CacheFailed>(cacheChannels.failed, 'warn', ({ error }) => codeOf(error)),
  trouble<ChunkVerified>(
    cacheChannels.verified,
    'warn',
    ({ blob }) => blob,
    ({ blob, chunk, good }) => (good ? undefined : { blob, chunk }),
  ),
  trouble<HotFailed>(hotChannels.failed, 'warn', ({ blob }) => blob),
  trouble<TokenRequested>(
    registryChannels.token,
    'warn',
    ({ host, error }) => `${host} ${codeOf(error)}`,
    (request) => (request.error === undefined ? undefined : { ...request }),
  ),
  trouble<PlacePassedOver>(registryChannels.passedOver, 'warn', ({ place, error }) => `${place} ${codeOf(error)}`),
  trouble<ImageStale>(imageChannels.stale, 'warn', ({ image }) => image),
  news(hotChannels.done, 'info'),
  news(prefetchChannels.stopped, 'info'),
  news(hotChannels.index, 'debug'),
  news(hotChannels.group, 'debug'),
  news(registryChannels.request, 'debug'),
  news(fetchChannels.request, 'debug'),
  news(fetchChannels.chunk, 'debug'),
  news(cacheChannels.stored, 'debug'),
  news(cacheChannels.copied, 'debug'),
  news(cacheChannels.evicted, 'debug'),
  news<FilePredicted>(prefetchChannels.predicted, 'debug', (file) => ({ ...file, path: displayText(file.path) })),
  news(prefetchChannels.fetched, 'debug'),
];

/**
 * Writes what the channels tell. At most five equal warnings or errors a minute are written, and then how many were not.
 * @param log - only channels that it has a line for are subscribed to: a level that is not written costs nothing
 * @returns ends it, and says what was left out until then
 */
export function subscribeLog(log: Log): () => void {
  const ends = translations.filter(({ level }) => log.isWritten(level)).map((translation) => follow(log, translation));
  return () => {
    for (const end of ends.splice(0)) end();
  };
}

function follow(log: Log, { channel, level, facts, about }: Translation): () => void {
  const event = String(channel.name).replace(/^sluice:/, '');
  const limit = new RepeatLimit(linesPerMinute, (key, lines) =>
    log.write(level, 'log:repeated', { of: event, about: key, lines }),
  );
  const listener = (message: unknown): void => {
    const told = facts(message);
    if (told === undefined || (about !== undefined && !limit.admits(about(message)))) return;
    log.write(level, event, told);
  };
  channel.subscribe(listener);
  return () => {
    channel.unsubscribe(listener);
    limit.flush();
  };
}

function codeOf(error: unknown): string {
  return error instanceof SluiceError ? error.code : 'other';
}
