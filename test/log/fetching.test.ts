import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { ChunkCache } from '../../src/cache/chunk-cache.ts';
import type { LogFormat } from '../../src/log/format.ts';
import { Log } from '../../src/log/log.ts';
import { subscribeLog } from '../../src/log/subscribe-log.ts';
import { Metrics } from '../../src/metrics/metrics.ts';
import { loadZstd } from '../../src/zstd/codec.ts';
import { parseExposition } from '../metrics/parse-exposition.ts';
import { content } from '../support/content.ts';
import { convertLayers } from '../support/convert-layers.ts';
import { memoryImage, tarBytes } from '../support/image.ts';
import { withImage } from '../support/read-image.ts';
import { TestRegistry } from '../support/registry/test-registry.ts';
import { makeTemporaryDirectory, removeTemporaryDirectory } from '../support/temporary.ts';
import { MemorySink } from './memory-sink.ts';

/** What happens when an image is read from a registry that wants a password and answers wrongly now and then. */
describe('a fetch', () => {
  const account = { username: 'alice', password: 'correct-horse-battery-staple' };
  const file = content('a file', 220 * 4096);
  let directory: string;
  let registry: TestRegistry;
  let reference: string;
  beforeAll(async () => {
    await loadZstd();
    directory = makeTemporaryDirectory();
    registry = await TestRegistry.start({ auth: { kind: 'token', credentials: account }, redirectBlobs: true });
    const docker = path.join(directory, 'docker');
    mkdirSync(docker);
    const auth = Buffer.from(`${account.username}:${account.password}`).toString('base64');
    writeFileSync(path.join(docker, 'config.json'), JSON.stringify({ auths: { [registry.host]: { auth } } }));
    vi.stubEnv('DOCKER_CONFIG', docker);
    const image = memoryImage([await tarBytes([{ name: 'file', content: file }])], { compression: 'none' });
    ({ reference } = await convertLayers(image, directory, { target: `docker://${registry.host}/image:1` }));
  });
  afterAll(async () => {
    vi.unstubAllEnvs();
    await registry.close();
    await removeTemporaryDirectory(directory);
  });

  it.each<LogFormat>(['text', 'json'])('is told and counted, and no log in %s has a credential', async (format) => {
    const sink = new MemorySink();
    const metrics = Metrics.subscribe();
    const end = subscribeLog(new Log({ sink, format, level: 'debug' }));
    const cache = ChunkCache.open(path.join(directory, `cache ${format}`), { maximumBytes: 2 ** 30 });
    try {
      await withImage(
        reference,
        async ({ read }) => {
          registry.faults.add({
            on: 'signed',
            fault: { kind: 'status', status: 503, headers: { 'retry-after': '0' } },
          });
          registry.faults.add({ on: 'signed', skip: 1, fault: { kind: 'corrupt', at: 100 } });
          expect((await read('file')).equals(file)).toBe(true);
        },
        cache,
      );
    } finally {
      end();
      metrics.close();
      cache.close();
      registry.faults.clear();
    }
    const samples = [
      ...parseExposition(metrics.text({ mounts: () => [], cache: () => cache.state(), queued: () => ({}) })),
    ];
    const sum = (name: string): number =>
      samples
        .filter(([family]) => family === name)
        .flatMap(([, family]) => family.samples)
        .reduce((total, { value }) => total + value, 0);
    expect(sum('sluice_fetched_bytes_total')).toBe(file.length);
    expect(sum('sluice_cache_stored_bytes_total')).toBe(file.length);
    expect(sum('sluice_network_bytes_total')).toBeGreaterThanOrEqual(file.length);
    expect(sum('sluice_fetch_retries_total')).toBeGreaterThanOrEqual(1);
    expect(sum('sluice_fetch_mismatches_total')).toBe(1);
    expect(sum('sluice_verification_failures_total')).toBe(1);
    const log = sink.lines.join('');
    expect(log).toContain('fetch:mismatch');
    expect(log).toContain('fetch:chunk');
    expect(log).toContain('SLUICE_CHUNK_DIGEST_MISMATCH');
    const secrets = [
      account.password,
      Buffer.from(`alice:${account.password}`).toString('base64'),
      'Bearer ',
      'signature=',
    ];
    for (const secret of secrets) expect(log).not.toContain(secret);
  });
});
