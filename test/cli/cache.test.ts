import { closeSync, openSync, readdirSync, writeSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ChunkCache } from '../../src/cache/chunk-cache.ts';
import { openChunks } from '../../src/image/open-chunks.ts';
import { type OpenImage, openImage } from '../../src/image/open-image.ts';
import { digestHex } from '../../src/oci/digest.ts';
import { loadZstd } from '../../src/zstd/codec.ts';
import { convertInto, layoutImage, richImage } from '../support/converted.ts';
import { TestRegistry } from '../support/registry/test-registry.ts';
import { convert, errorCode, type SluiceResult, sluice } from '../support/sluice.ts';
import { makeTemporaryDirectory, removeTemporaryDirectory } from '../support/temporary.ts';

const root = makeTemporaryDirectory();
const layout = path.join(root, 'oci');
const image = `oci:${layout}:app-sluice`;
let opened: OpenImage;
afterAll(() => removeTemporaryDirectory(root));

beforeAll(async () => {
  await loadZstd();
  await convertInto(layout, 'app', await richImage());
  opened = await openImage(layoutImage(layout, 'app-sluice'));
});

const cacheOf = (name: string): string => path.join(root, name);

function run(name: string, ...args: readonly string[]): Promise<SluiceResult> {
  return sluice(['cache', ...args], { env: { SLUICE_CACHE_DIR: cacheOf(name) } });
}

async function json(name: string, ...args: readonly string[]) {
  const { stdout, stderr } = await run(name, ...args, '--json');
  expect(stderr).toBe('');
  return JSON.parse(stdout);
}

/** Reads all of the image through a cache. */
async function fill(name: string): Promise<void> {
  const cache = ChunkCache.open(cacheOf(name), { maximumBytes: 2 ** 30 });
  const source = layoutImage(layout, 'app-sluice');
  const kept = await openImage(source, { files: cache.files });
  const { chunks, close } = openChunks(source, kept, { cache });
  for (const [device, { chunks: map }] of kept.bootstrap.devices.entries()) {
    for (let chunk = 0; chunk < map.count; chunk++) await chunks.read(device, chunk);
  }
  close();
  cache.close();
  await source.close();
}

const total = (): number => opened.bootstrap.devices.reduce((sum, { chunks }) => sum + chunks.deviceSize, 0);
const chunkCount = (): number => opened.bootstrap.devices.reduce((sum, { chunks }) => sum + chunks.count, 0);

describe('sluice cache', () => {
  it('ls shows devices, who uses them, and the bound', async () => {
    await fill('ls');
    const listed = await json('ls', 'ls', '--cache-size', '1G', '--cache-free', '1M');
    expect(listed).toMatchObject({ writable: true, maximumBytes: 2 ** 30, minimumFreeBytes: 2 ** 20 });
    const blobs = listed.devices.map(({ blob }: { blob: string }) => blob).sort();
    expect(blobs).toEqual(opened.blobs.map(({ digest }) => digestHex(digest)).sort());
    for (const device of listed.devices) {
      const manifest = opened.raw.descriptor.digest.slice(0, 19);
      expect(device).toMatchObject({ isOpen: false, isPinned: false, images: [manifest] });
    }
    expect((await run('ls', 'ls')).stdout).toMatch(/^BLOB {10}.*IMAGES\n[0-9a-f]{12} .*sha256:[0-9a-f]{12}\n/);
  });

  it('prune evicts to a size, or everything', async () => {
    await fill('prune');
    const before = await json('prune', 'ls');
    const half = Math.floor(before.bytes / 2);
    const pruned = await json('prune', 'prune', '--to', `${half}`);
    expect(pruned.bytes).toBeLessThanOrEqual(half);
    expect(pruned.freed).toBe(before.bytes - pruned.bytes);
    expect(await json('prune', 'prune', '--all')).toMatchObject({ bytes: 0 });
    expect(errorCode(await run('prune', 'prune', '--all', '--to', '1G', '--json'))).toBe('SLUICE_OPTION_INVALID');
  });

  it('verify finds the chunk that is wrong, and drops it', async () => {
    await fill('verify');
    expect(await json('verify', 'verify')).toMatchObject({ chunks: chunkCount(), bytes: total(), bad: 0 });
    const top = path.join(cacheOf('verify'), readdirSync(cacheOf('verify'))[0]!);
    const device = readdirSync(top).find((name) => name.startsWith(digestHex(opened.blobs[0]!.digest)))!;
    const fd = openSync(path.join(top, device, 'data'), 'r+');
    writeSync(fd, Buffer.from('flip'), 0, 4, 100);
    closeSync(fd);
    const { status, stdout, stderr } = await run('verify', 'verify', '--json');
    expect(status).toBe(5);
    expect(JSON.parse(stdout)).toMatchObject({ chunks: chunkCount(), bad: 1 });
    expect(stderr).toContain('SLUICE_CHUNK_DIGEST_MISMATCH');
    expect(await json('verify', 'verify')).toMatchObject({ chunks: chunkCount() - 1, bad: 0 });
  });

  it('pin keeps an image, documents included, until unpin', async () => {
    await fill('pin');
    expect(await json('pin', 'pin', image)).toMatchObject({ bytes: total(), manifest: opened.raw.descriptor.digest });
    await json('pin', 'prune', '--all');
    expect(await json('pin', 'verify')).toMatchObject({ chunks: chunkCount(), bad: 0 });
    const { devices } = await json('pin', 'ls');
    expect(devices).toContainEqual(expect.objectContaining({ isPinned: true, images: [image] }));
    const cache = ChunkCache.open(cacheOf('pin'), { maximumBytes: 2 ** 30 });
    expect(cache.files.list('bootstrap')).toEqual([digestHex(opened.root)]);
    expect(cache.files.list('manifest')).toContain(digestHex(opened.raw.descriptor.digest));
    cache.close();
    expect(await json('pin', 'unpin', image)).toEqual({ unpinned: [opened.raw.descriptor.digest] });
    await json('pin', 'prune', '--all');
    expect(await json('pin', 'verify')).toMatchObject({ chunks: 0 });
    expect(errorCode(await run('pin', 'unpin', image, '--json'))).toBe('SLUICE_IMAGE_NOT_FOUND');
  });

  it('pin refuses what would not fit', async () => {
    const refused = await run('large', 'pin', image, '--cache-size', '600K', '--json');
    expect(errorCode(refused)).toBe('SLUICE_PIN_TOO_LARGE');
    expect(refused.status).toBe(7);
  });

  it('pin by digest needs no network once the image is known', async () => {
    const registry = await TestRegistry.start();
    try {
      const tag = `docker://${registry.host}/app`;
      const { manifest } = await convert([`oci:${layout}:app`, `${tag}:1`], {
        env: { SLUICE_CACHE_DIR: cacheOf('known') },
      });
      const reference = `${tag}@${manifest}`;
      expect((await run('known', 'pin', reference)).status).toBe(0);
      expect((await run('known', 'unpin', reference)).status).toBe(0);
      await registry.pause();
      expect((await run('known', 'pin', reference)).status).toBe(0);
    } finally {
      await registry.close();
    }
  });

  it.each([
    ['pin', []],
    ['ls', ['oci:somewhere']],
  ])('%s takes an image or none', async (action, args) => {
    expect(errorCode(await run('usage', action, ...args, '--json'))).toBe('SLUICE_OPTION_INVALID');
  });
});
