import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ChunkCache } from '../../src/cache/chunk-cache.ts';
import { RegistryError } from '../../src/errors.ts';
import { Fill } from '../../src/mount/fill.ts';
import { type ImageContent, openContent } from '../../src/mount/image-content.ts';
import { MountStatus } from '../../src/mount/mount-status.ts';
import { ReadCounters } from '../../src/mount/read-counters.ts';
import { digestHex } from '../../src/oci/digest.ts';
import { openSource } from '../../src/transport/open.ts';
import { convertLayers } from '../support/convert-layers.ts';
import { smallImage } from '../support/image.ts';
import { makeTemporaryDirectory, removeTemporaryDirectory } from '../support/temporary.ts';

describe('MountStatus', () => {
  let directory: string;
  let cache: ChunkCache;
  let content: ImageContent;
  let fill: Fill;
  let status: MountStatus;
  const reads = new ReadCounters();
  let waiting: { reads: number; since: number | undefined } = { reads: 0, since: undefined };

  beforeEach(async () => {
    directory = makeTemporaryDirectory();
    mkdirSync(path.join(directory, 'cache'), { mode: 0o700 });
    cache = ChunkCache.open(path.join(directory, 'cache'), { maximumBytes: 2 ** 30, minimumFreeBytes: 0 });
    await open('a');
  });
  afterEach(async () => {
    status.close();
    fill.close();
    await content.close();
    cache.close();
    await removeTemporaryDirectory(directory);
  });

  async function open(seed: string): Promise<void> {
    const folder = path.join(directory, seed);
    const { reference } = await convertLayers(await smallImage(seed), folder);
    content = await openContent({ source: openSource(reference, {}), cache });
    const { image, chunks, local } = content;
    const { devices, prefetch: eager, background } = chunks;
    fill = new Fill({ reference: image.reference, devices, local, chunks: { eager, background }, cache });
    status = new MountStatus(content, { reads, waiting: () => waiting }, fill);
  }

  async function pin(): Promise<void> {
    const { bootstrap, raw, reference, root } = content.image;
    const { digestAlgorithm: algorithm, devices } = bootstrap;
    await cache.pin({
      root: digestHex(root),
      reference,
      manifest: raw.descriptor.digest,
      devices: devices.map(({ blob, chunks }) => ({ blob: digestHex(blob), chunks, algorithm })),
      files: [],
    });
  }

  it('is lazy while nothing else was asked for', () => {
    expect(status.state()).toMatchObject({ laziness: 'lazy', why: 'mounted lazily: what is read is fetched' });
    expect(status.state().local).toEqual({ chunks: 0, bytes: 0 });
    expect(status.state().total.bytes).toBeGreaterThan(100_000);
  });

  it('is filling, paused, then local, and says why', async () => {
    fill.pause();
    fill.start({ kind: 'background', bytesPerSecond: 20e6 });
    expect(status.state()).toMatchObject({
      laziness: 'filling',
      why: 'filling in the background at 20.0 MB/s at most',
    });
    fill.pause();
    expect(status.state()).toMatchObject({ laziness: 'paused', why: 'filling is paused' });
    fill.resume();
    await fill.done;
    const { local, total, laziness, why, fetched, place, bytesPerSecond } = status.state();
    expect(local).toEqual(total);
    expect(fetched).toEqual({
      demand: { chunks: 0, bytes: 0 },
      prefetch: { chunks: 0, bytes: 0 },
      background: total,
    });
    expect(place).toBe(content.image.reference);
    expect(bytesPerSecond).toBeGreaterThan(0);
    expect([laziness, why]).toEqual(['local', 'every chunk is in the cache (unpinned: eviction may remove some)']);
    await pin();
    expect(status.state().why).toBe('every chunk is in the cache, and pinned');
  });

  it('counts what was fetched since it was made', async () => {
    await content.chunks.chunks.read(0, 0);
    expect(status.state().fetched.demand.chunks).toBe(1);
    status.close();
    status = new MountStatus(content, { reads, waiting: () => waiting }, fill);
    expect(status.state().fetched.demand).toEqual({ chunks: 0, bytes: 0 });
  });

  it('is lazy again when chunks were evicted', async () => {
    fill.start({ kind: 'eager' });
    await fill.done;
    await cache.prune(0);
    await expect
      .poll(() => status.state())
      .toMatchObject({ laziness: 'lazy', why: 'was filled, and chunks have been evicted since' });
  });

  it('counts what another blob in the cache had', async () => {
    fill.start({ kind: 'eager' });
    await fill.done;
    status.close();
    const first = content;
    const { bootstrap } = first.image;
    // The same content under another name of its blob.
    const copies = bootstrap.devices.map(({ chunks }, i) =>
      cache.openDevice(`${i}`.repeat(64), chunks, bootstrap.digestAlgorithm),
    );
    const devices = bootstrap.devices.map((device, i) => ({
      ...device,
      blob: `sha256:${`${i}`.repeat(64)}` as typeof device.blob,
    }));
    const image = { ...first.image, bootstrap: Object.create(bootstrap, { devices: { value: devices } }) };
    status = new MountStatus({ ...first, image }, { reads, waiting: () => waiting }, fill);
    for (const copy of copies) for (let chunk = 0; chunk < copy.chunks.count; chunk++) copy.copy(chunk);
    expect(status.state().copied).toEqual(content.local.total);
    for (const copy of copies) copy.close();
  });

  it('says what is read, and what waits since when', () => {
    expect(status.state().waiting).toEqual({ reads: 0, since: undefined });
    const thread = reads.counter(0);
    thread.local(4096, performance.now());
    thread.local(8192, performance.now());
    thread.missed();
    waiting = { reads: 1, since: Date.UTC(2026, 10, 21) };
    expect(status.state().reads).toEqual({ count: 3, bytes: 12_288, misses: 1 });
    expect(status.state().waiting).toEqual({ reads: 1, since: '2026-11-21T00:00:00.000Z' });
  });

  it('keeps the last error, with its code and time', () => {
    status.failed('Cannot read "etc/hello" at 0', new RegistryError('SLUICE_REGISTRY_TIMEOUT', 'Cannot wait'));
    const { lastError } = status.state();
    expect(lastError).toMatchObject({ code: 'SLUICE_REGISTRY_TIMEOUT', message: 'Cannot read "etc/hello" at 0' });
    expect(Math.abs(Date.parse(lastError?.at ?? '') - Date.now())).toBeLessThan(60_000);
    status.failed('Cannot read', new TypeError('bug'));
    expect(status.state().lastError?.code).toBeUndefined();
  });

  it('stays as it was at the end of its mount', async () => {
    fill.start({ kind: 'eager' });
    await fill.done;
    status.close();
    await cache.prune(0);
    expect(status.state().laziness).toBe('local');
  });
});
