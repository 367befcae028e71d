import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { cacheChannels } from '../../src/cache/channels.ts';
import { CacheError, IntegrityError, RegistryError } from '../../src/errors.ts';
import { fetchChannels } from '../../src/fetch/channels.ts';
import { hotChannels } from '../../src/hot/channels.ts';
import { Metrics } from '../../src/metrics/metrics.ts';
import type { MetricsSource, MountMetrics } from '../../src/metrics/source.ts';
import { missChannels } from '../../src/mount/miss-channels.ts';
import type { MountState } from '../../src/mount/mount-state.ts';
import { prefetchChannels } from '../../src/prefetch/channels.ts';
import { registryChannels } from '../../src/registry/channels.ts';
import { has } from '../support/tools.ts';
import { parseExposition } from './parse-exposition.ts';

const nothing = { chunks: 0, bytes: 0 };
const state: MountState = {
  laziness: 'lazy',
  why: 'mounted lazily',
  local: { chunks: 1, bytes: 100 },
  total: { chunks: 9, bytes: 900 },
  fetched: { demand: { chunks: 1, bytes: 11 }, prefetch: { chunks: 1, bytes: 12 }, background: nothing },
  copied: { chunks: 1, bytes: 13 },
  bytesPerSecond: 5,
  reads: { count: 10, bytes: 40960, misses: 3 },
  waiting: { reads: 2, since: new Date(Date.now() - 5000).toISOString() },
  lastError: { code: 'SLUICE_REGISTRY_TIMEOUT', message: 'Cannot', at: '2026-01-01T00:00:00.000Z' },
  place: 'https://mirror.example',
  credentialsObtained: undefined,
};
const cache = { writable: true, reason: undefined, bytes: 1, maximumBytes: 2, freeBytes: 3, minimumFreeBytes: 4 };

function mountAt(mountPoint: string, over: Partial<MountMetrics> = {}): MountMetrics {
  return { image: 'docker://r.example/a:1', mountPoint, state, latency: { counts: [0, 1], seconds: 0.5 }, ...over };
}

function sourceOf(...mounts: readonly MountMetrics[]): MetricsSource {
  return { mounts: () => mounts, cache: () => cache, queued: () => ({ demand: 1, prefetch: 2 }) };
}

const timeout = new RegistryError('SLUICE_REGISTRY_TIMEOUT', 'Cannot reach "https://r.example"');
const place = 'https://mirror.example';
const damaged = new IntegrityError('SLUICE_CHUNK_DIGEST_MISMATCH', 'Cannot read chunk');

describe('Metrics', () => {
  let metrics: Metrics;
  beforeEach(() => {
    metrics = Metrics.subscribe();
  });
  afterEach(() => metrics.close());

  /** What a sample of `name` with at least these labels says. */
  const counted = (name: string, labels: Readonly<Record<string, string>> = {}, source = sourceOf()) => {
    const samples = parseExposition(metrics.text(source)).get(name)?.samples ?? [];
    return samples.find((sample) => Object.entries(labels).every(([label, value]) => sample.labels[label] === value))
      ?.value;
  };

  it.each<[string, () => void, string, Record<string, string>, number]>([
    [
      'a request that ended well',
      () => fetchChannels.request.publish({ device: 0, bytes: 70, chunks: 1, priority: 'prefetch', durationMs: 3 }),
      'sluice_fetch_requests_total',
      { priority: 'prefetch', result: 'ok' },
      1,
    ],
    [
      'its bytes',
      () => fetchChannels.request.publish({ device: 0, bytes: 70, chunks: 1, priority: 'demand', durationMs: 3 }),
      'sluice_network_bytes_total',
      { source: 'demand' },
      70,
    ],
    [
      'a request that failed',
      () => fetchChannels.request.publish({ bytes: 70, priority: 'demand', durationMs: 3, error: timeout }),
      'sluice_fetch_requests_total',
      { priority: 'demand', result: 'SLUICE_REGISTRY_TIMEOUT' },
      1,
    ],
    [
      'a request that was given up',
      () => fetchChannels.request.publish({ priority: 'demand', durationMs: 3, error: AbortSignal.abort().reason }),
      'sluice_fetch_requests_total',
      { result: 'SLUICE_CANCELLED' },
      1,
    ],
    [
      'a fetched chunk',
      () => fetchChannels.chunk.publish({ priority: 'background', place, compressedBytes: 5, uncompressedBytes: 9 }),
      'sluice_fetched_bytes_total',
      { priority: 'background', place },
      9,
    ],
    [
      'another try',
      () => fetchChannels.retry.publish({ place, error: timeout }),
      'sluice_fetch_retries_total',
      { place, code: 'SLUICE_REGISTRY_TIMEOUT' },
      1,
    ],
    [
      'another try everywhere',
      () => fetchChannels.retry.publish({ place: undefined, error: timeout }),
      'sluice_fetch_retries_total',
      { place: 'every' },
      1,
    ],
    [
      'who sent a wrong chunk',
      () => fetchChannels.mismatch.publish({ place, error: damaged }),
      'sluice_fetch_mismatches_total',
      { place },
      1,
    ],
    [
      'an HTTP exchange',
      () => registryChannels.request.publish({ host: 'r.example', status: 206, durationMs: 3, bytes: 77 }),
      'sluice_registry_requests_total',
      { host: 'r.example', status: '206' },
      1,
    ],
    [
      'one without an answer',
      () => registryChannels.request.publish({ host: 'r.example', status: 0, durationMs: 3, bytes: 0 }),
      'sluice_registry_requests_total',
      { host: 'r.example', status: 'none' },
      1,
    ],
    [
      'the bytes of a host',
      () => registryChannels.request.publish({ host: 'r.example', status: 206, durationMs: 3, bytes: 77 }),
      'sluice_registry_received_bytes_total',
      { host: 'r.example' },
      77,
    ],
    [
      'a token',
      () => registryChannels.token.publish({ host: 'r.example', durationMs: 3, error: undefined }),
      'sluice_registry_tokens_total',
      { host: 'r.example', result: 'ok' },
      1,
    ],
    [
      'a mirror that failed',
      () => registryChannels.passedOver.publish({ place, error: timeout }),
      'sluice_registry_passed_over_total',
      { place, code: 'SLUICE_REGISTRY_TIMEOUT' },
      1,
    ],
    [
      'a wrong chunk of a registry',
      () => fetchChannels.mismatch.publish({ device: 0, chunk: 1, place, error: damaged }),
      'sluice_verification_failures_total',
      { source: 'registry' },
      1,
    ],
    [
      'a wrong chunk in the cache',
      () => cacheChannels.verified.publish({ blob: 'a', chunk: 1, good: false }),
      'sluice_verification_failures_total',
      { source: 'cache' },
      1,
    ],
    [
      'a wrong page of a hot blob',
      () => hotChannels.failed.publish({ blob: 'a', error: damaged }),
      'sluice_verification_failures_total',
      { source: 'hot' },
      1,
    ],
    [
      'a hot blob that failed',
      () => hotChannels.failed.publish({ blob: 'a', error: timeout }),
      'sluice_hot_streams_total',
      { result: 'failed' },
      1,
    ],
    [
      'a hot blob',
      () => hotChannels.done.publish({ blob: 'a', pages: 3, received: 77 }),
      'sluice_network_bytes_total',
      { source: 'hot' },
      77,
    ],
    ['hot pages', () => hotChannels.group.publish({ pages: 3, received: 9 }), 'sluice_hot_pages_total', {}, 3],
    [
      'a chunk found on disk',
      () => cacheChannels.verified.publish({ blob: 'a', chunk: 1, good: true }),
      'sluice_cache_verified_chunks_total',
      {},
      1,
    ],
    ['a stored chunk', () => cacheChannels.stored.publish({ bytes: 8 }), 'sluice_cache_stored_bytes_total', {}, 8],
    ['a copied chunk', () => cacheChannels.copied.publish({ bytes: 8 }), 'sluice_cache_copied_bytes_total', {}, 8],
    ['an eviction', () => cacheChannels.evicted.publish({ bytes: 8 }), 'sluice_cache_evictions_total', {}, 1],
    ['its bytes', () => cacheChannels.evicted.publish({ bytes: 8 }), 'sluice_cache_evicted_bytes_total', {}, 8],
    [
      'a full disk',
      () => cacheChannels.failed.publish({ error: new CacheError('SLUICE_CACHE_FULL', 'Cannot') }),
      'sluice_cache_failures_total',
      { code: 'SLUICE_CACHE_FULL' },
      1,
    ],
    [
      'a failed read',
      () => missChannels.failed.publish({ mountPoint: '/m', nid: 1, offset: 0, error: new Error('a bug') }),
      'sluice_read_failures_total',
      { mount_point: '/m', code: 'other' },
      1,
    ],
    [
      'a prediction',
      () => prefetchChannels.predicted.publish({ length: 44, reason: 'library' }),
      'sluice_prefetch_predicted_bytes_total',
      { reason: 'library' },
      44,
    ],
    [
      'its use',
      () => prefetchChannels.stopped.publish({ reason: 'closed', fetchedBytes: 9, usedBytes: 4 }),
      'sluice_prefetch_used_bytes_total',
      {},
      4,
    ],
  ])('counts %s', (_, publish, name, labels, amount) => {
    publish();
    expect(counted(name, labels)).toBe(amount);
    publish();
    expect(counted(name, labels)).toBe(amount * 2);
  });

  it('counts no bytes of a request that failed', () => {
    fetchChannels.request.publish({ bytes: 70, priority: 'demand', durationMs: 3, error: timeout });
    expect(counted('sluice_network_bytes_total', { source: 'demand' })).toBe(0);
  });

  it('measures fetches', () => {
    for (const durationMs of [3, 3, 100_000]) fetchChannels.request.publish({ priority: 'demand', durationMs });
    const { samples } = parseExposition(metrics.text(sourceOf())).get('sluice_fetch_request_duration_seconds')!;
    const buckets = samples.filter(({ labels }) => labels.priority === 'demand');
    expect(buckets.filter(({ value }) => value > 0).map(({ labels, value }) => [labels.le, value])).toEqual([
      ...['0.004096', '0.008192', '0.016384', '0.032768', '0.065536', '0.131072', '0.262144', '0.524288'].map((le) => [
        le,
        2,
      ]),
      ...['1.048576', '2.097152', '4.194304', '8.388608', '16.777216', '33.554432'].map((le) => [le, 2]),
      ['+Inf', 3],
      [undefined, 100.006],
      [undefined, 3],
    ]);
  });

  it('shows what could happen before it did, so that the first time is an increase', () => {
    expect(counted('sluice_verification_failures_total', { source: 'registry' })).toBe(0);
    expect(counted('sluice_cache_evictions_total')).toBe(0);
  });

  it('bounds what others can name', () => {
    for (let i = 0; i < 1000; i++) prefetchChannels.predicted.publish({ length: 1, reason: `r${i}` });
    const { samples } = parseExposition(metrics.text(sourceOf())).get('sluice_prefetch_predicted_bytes_total')!;
    expect(samples).toHaveLength(101);
    expect(samples.reduce((sum, { value }) => sum + value, 0)).toBe(1000);
    expect(samples.at(-1)?.labels).toEqual({ reason: 'other' });
  });

  it('says of a mount what its state does', () => {
    const source = sourceOf(mountAt('/m'));
    const of = (name: string, labels = {}) => counted(`sluice_mount_${name}`, { mount_point: '/m', ...labels }, source);
    expect(of('reads_total', { result: 'local' })).toBe(7);
    expect(of('reads_total', { result: 'missed' })).toBe(3);
    expect(of('read_bytes_total')).toBe(40960);
    expect(of('read_duration_seconds', { le: '+Inf' })).toBe(1);
    expect(of('waiting_reads')).toBe(2);
    expect(of('oldest_wait_seconds')).toBeGreaterThanOrEqual(5);
    expect(of('content_bytes_total', { source: 'prefetch' })).toBe(12);
    expect(of('content_bytes_total', { source: 'copied' })).toBe(13);
    expect(of('local_bytes')).toBe(100);
    expect(of('image_bytes')).toBe(900);
    expect(of('state', { state: 'lazy' })).toBe(1);
    expect(of('state', { state: 'local' })).toBe(0);
    expect(of('last_error_timestamp_seconds')).toBe(Date.UTC(2026, 0, 1) / 1000);
  });

  it('is silent about what is not known', () => {
    const unknown = mountAt('/m', { latency: undefined, state: { ...state, lastError: undefined } });
    const families = parseExposition(metrics.text({ ...sourceOf(unknown), cache: () => undefined }));
    expect(families.get('sluice_mount_read_duration_seconds')?.samples).toEqual([]);
    expect(families.get('sluice_mount_last_error_timestamp_seconds')?.samples).toEqual([]);
    expect(families.get('sluice_cache_bytes')?.samples).toEqual([]);
  });

  it('lists 256 mounts, and counts the others', () => {
    const source = sourceOf(...Array.from({ length: 300 }, (_, i) => mountAt(`/m${i}`)));
    const families = parseExposition(metrics.text(source));
    expect(families.get('sluice_mounts')?.samples[0]?.value).toBe(300);
    expect(families.get('sluice_mount_waiting_reads')?.samples).toHaveLength(256);
  });

  it('knows the process', () => {
    expect(counted('sluice_build_info', { node: process.version })).toBe(1);
    expect(counted('sluice_process_resident_memory_bytes')).toBeGreaterThan(1e6);
    expect(counted('sluice_process_open_descriptors')).toBeGreaterThan(3);
    expect(counted('sluice_process_threads')).toBeGreaterThan(3);
    expect(counted('sluice_process_cpu_seconds_total')).toBeGreaterThan(0);
  });

  it('counts nothing once it is closed', () => {
    metrics.close();
    metrics.close();
    expect(fetchChannels.request.hasSubscribers).toBe(false);
    expect(cacheChannels.verified.hasSubscribers).toBe(false);
  });

  it('is the table of docs/metrics.md', () => {
    const docs = readFileSync(new URL('../../docs/metrics.md', import.meta.url), 'utf8');
    const documented = Array.from(
      docs.matchAll(/^\| `(sluice_\w+)` \| (\w+) \| (.*?) \| (.+) \|$/gm),
      ([, name, type, labels, help]) => ({ name, type, labels, help }),
    );
    const source = sourceOf(mountAt('/m'));
    fetchChannels.retry.publish({ place, error: timeout });
    fetchChannels.mismatch.publish({ place, error: damaged });
    fetchChannels.chunk.publish({ priority: 'demand', place, uncompressedBytes: 1 });
    registryChannels.request.publish({ host: 'r.example', status: 206, durationMs: 3, bytes: 77 });
    registryChannels.token.publish({ host: 'r.example', durationMs: 3, error: undefined });
    registryChannels.passedOver.publish({ place, error: timeout });
    cacheChannels.failed.publish({ error: timeout });
    missChannels.failed.publish({ mountPoint: '/m', error: timeout });
    prefetchChannels.predicted.publish({ length: 1, reason: 'library' });
    const exposed = Array.from(parseExposition(metrics.text(source)), ([name, { type, help, samples }]) => {
      const labels = Object.keys(samples[0]?.labels ?? {}).filter((label) => label !== 'le');
      return { name, type, labels: labels.map((label) => `\`${label}\``).join(' '), help };
    });
    expect(documented).toEqual(exposed);
  });

  it.skipIf(!has('promtool'))('is what promtool check metrics accepts', () => {
    const input = metrics.text(sourceOf(mountAt('/m"\n\\'), mountAt('/n')));
    const { status, stderr, stdout } = spawnSync('promtool', ['check', 'metrics'], { input, encoding: 'utf8' });
    expect({ status, stderr, stdout }).toEqual({ status: 0, stderr: '', stdout: '' });
  });
});
