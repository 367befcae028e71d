import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it, onTestFinished } from 'vitest';
import { cacheChannels } from '../../src/cache/channels.ts';
import { CacheError, IntegrityError, RegistryError } from '../../src/errors.ts';
import { fetchChannels } from '../../src/fetch/channels.ts';
import { hotChannels } from '../../src/hot/channels.ts';
import type { LogLevel } from '../../src/log/levels.ts';
import { Log } from '../../src/log/log.ts';
import { subscribeLog } from '../../src/log/subscribe-log.ts';
import { missChannels } from '../../src/mount/miss-channels.ts';
import { prefetchChannels } from '../../src/prefetch/channels.ts';
import { registryChannels } from '../../src/registry/channels.ts';
import { MemorySink } from './memory-sink.ts';

function follow(level: LogLevel) {
  const sink = new MemorySink();
  const end = subscribeLog(new Log({ sink, format: 'json', level }));
  onTestFinished(end);
  return { lines: () => sink.lines.map((line) => JSON.parse(line)), end };
}

const timeout = new RegistryError('SLUICE_REGISTRY_TIMEOUT', 'Cannot reach "https://r.example"');
const damaged = new IntegrityError('SLUICE_CHUNK_DIGEST_MISMATCH', 'Cannot read chunk');
const full = new CacheError('SLUICE_CACHE_FULL', 'Cannot write');

describe('subscribeLog()', () => {
  it.each([
    ['error', 'mount:read-failed', missChannels.failed, { mountPoint: '/m', nid: 9, offset: 0, error: timeout }],
    ['error', 'fetch:mismatch', fetchChannels.mismatch, { device: 0, chunk: 1, error: damaged }],
    ['warn', 'fetch:retry', fetchChannels.retry, { device: 0, chunk: 1, attempt: 1, delayMs: 5, error: timeout }],
    ['warn', 'cache:failed', cacheChannels.failed, { blob: undefined, error: full }],
    ['warn', 'cache:verified', cacheChannels.verified, { blob: 'a', chunk: 1, good: false }],
    ['warn', 'hot:failed', hotChannels.failed, { blob: 'a', error: timeout }],
    ['warn', 'registry:token', registryChannels.token, { host: 'r.example', durationMs: 3, error: timeout }],
    ['warn', 'registry:passed-over', registryChannels.passedOver, { place: 'https://m.example', error: timeout }],
    [
      'debug',
      'registry:request',
      registryChannels.request,
      { host: 'r.example', status: 206, durationMs: 3, bytes: 7 },
    ],
    ['info', 'hot:done', hotChannels.done, { blob: 'a', pages: 1, received: 2 }],
    ['info', 'prefetch:stopped', prefetchChannels.stopped, { reason: 'unused', fetchedBytes: 1, usedBytes: 0 }],
    ['debug', 'fetch:request', fetchChannels.request, { device: 0, bytes: 1, priority: 'demand', error: timeout }],
    ['debug', 'prefetch:predicted', prefetchChannels.predicted, { path: 'a\u00ff', nid: 1, reason: 'library' }],
    ['debug', 'cache:evicted', cacheChannels.evicted, { blob: 'a', bytes: 1 }],
  ] as const)('tells at level %s of %s', (level, event, channel, message) => {
    const { lines } = follow('debug');
    channel.publish(message);
    expect(lines()).toMatchObject([{ level, event }]);
    const { error, ...facts } = { error: undefined, ...message };
    const [line] = lines();
    expect(line.facts.error?.code).toBe(error?.code);
    if ('path' in facts) expect(line.facts.path).toBe('a\\xff');
  });

  it('says nothing of chunks on disk that are right, and of tokens that were given', () => {
    const { lines } = follow('debug');
    registryChannels.token.publish({ host: 'r.example', durationMs: 3, error: undefined });
    cacheChannels.verified.publish({ blob: 'a', chunk: 1, good: true });
    expect(lines()).toEqual([]);
  });

  it('subscribes only to what it writes: the hot path has no listener below that', () => {
    const { end } = follow('info');
    expect(fetchChannels.chunk.hasSubscribers).toBe(false);
    expect(fetchChannels.retry.hasSubscribers).toBe(true);
    end();
    expect(fetchChannels.retry.hasSubscribers).toBe(false);
  });

  it('writes five equal lines a minute for a registry that is away, and how many it did not', () => {
    const { lines, end } = follow('info');
    for (let i = 0; i < 10_000; i++) {
      fetchChannels.retry.publish({ device: 0, chunk: i, attempt: 1, delayMs: 200, error: timeout });
      missChannels.failed.publish({ mountPoint: `/m${i % 2}`, nid: i, offset: 0, error: timeout });
    }
    const count = (event: string): number => lines().filter((line) => line.event === event).length;
    expect([count('fetch:retry'), count('mount:read-failed'), count('log:repeated')]).toEqual([5, 10, 0]);
    end();
    const repeated = lines().slice(15);
    expect(repeated.map(({ level, event, facts }) => ({ level, event, ...facts }))).toEqual([
      {
        level: 'error',
        event: 'log:repeated',
        of: 'mount:read-failed',
        about: '/m0 SLUICE_REGISTRY_TIMEOUT',
        lines: 4995,
      },
      {
        level: 'error',
        event: 'log:repeated',
        of: 'mount:read-failed',
        about: '/m1 SLUICE_REGISTRY_TIMEOUT',
        lines: 4995,
      },
      { level: 'warn', event: 'log:repeated', of: 'fetch:retry', about: 'every SLUICE_REGISTRY_TIMEOUT', lines: 9995 },
    ]);
  });
});

describe('docs/logging.md', () => {
  const source = new URL('../../src/', import.meta.url);
  const files = readdirSync(source, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));
  const text = files.map((file) => readFileSync(new URL(file, source), 'utf8')).join('\n');
  const code = text.replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, '');
  const docs = readFileSync(new URL('../../docs/logging.md', import.meta.url), 'utf8');

  it('names every event that is logged without a channel', () => {
    const logged = new Set(
      Array.from(code.matchAll(/log\.(?:debug|info|warn|error)\('([a-z:-]+)'/g), ([, event]) => event),
    );
    expect([...logged].filter((event) => !docs.includes(`\`${event}\``))).toEqual([]);
  });

  it('lists every diagnostics channel there is, and what is published on it', () => {
    const published = new Set(Array.from(code.matchAll(/'(sluice:[a-z-]+:[a-z-]+)'/g), ([, name]) => name));
    const rows = Array.from(docs.matchAll(/^\| `(sluice:\S+)` \| .+ \| `(\w+)` \|/gm), ([, name, type]) => ({
      name,
      type,
    }));
    expect(rows.map(({ name }) => name).sort()).toEqual([...published].sort());
    for (const { type } of rows) expect(text).toContain(`export interface ${type} `);
  });
});
