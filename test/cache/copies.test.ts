import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { closeSync, openSync, readdirSync, statSync, writeFileSync, writeSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { CacheView } from '../../src/cache/cache-view.ts';
import { CachedChunks } from '../../src/cache/cached-chunks.ts';
import type { CachedDevice } from '../../src/cache/cached-device.ts';
import { ChunkCache } from '../../src/cache/chunk-cache.ts';
import { ChunkMap } from '../../src/chunk/chunk-map.ts';
import type { DigestAlgorithm } from '../../src/digest/hash.ts';
import { loadNative } from '../../src/native.ts';
import { withTemporaryDirectory } from '../support/temporary.ts';
import { reportMissing } from '../support/tools.ts';
import { sampleChunks, sampleContent } from './sample.js';

if (loadNative() === undefined) reportMissing('the addon is not built');
const engines = loadNative() === undefined ? ['portable'] : ['native', 'portable'];

const COUNT = 24;
const map = ChunkMap.fromChunks(sampleChunks(COUNT));
/** Another blob, with the same chunks at other places. */
const turned = ChunkMap.fromChunks(sampleChunks(COUNT).reverse());
const inTurned = (chunk: number): number => COUNT - 1 - chunk;
const [blob, other] = ['ab'.repeat(32), 'cd'.repeat(32)];

interface Fixture {
  readonly directory: string;
  open(): ChunkCache;
  device(cache: ChunkCache, blob: string, map: ChunkMap, algorithm?: DigestAlgorithm): CachedDevice;
}

async function withCache(engine: string, use: (fixture: Fixture) => Promise<void> | void): Promise<void> {
  await withTemporaryDirectory(async (temporary) => {
    const directory = path.join(temporary, 'cache');
    const closers: (() => void)[] = [];
    const options = { maximumBytes: 2 ** 30, ...(engine === 'portable' ? { native: null } : {}) };
    const keep = <T extends { close(): void }>(opened: T): T => {
      closers.push(() => opened.close());
      return opened;
    };
    try {
      await use({
        directory,
        open: () => keep(ChunkCache.open(directory, options)),
        device: (cache, name, chunks, algorithm = 'sha256') => keep(cache.openDevice(name, chunks, algorithm)),
      });
    } finally {
      for (const close of closers.reverse()) close();
    }
  });
}

function fill(device: CachedDevice): void {
  for (let chunk = 0; chunk < COUNT; chunk++) expect(device.store(chunk, sampleContent(chunk))).toBe(true);
}

/** Reads chunks of the turned device and compares them. @returns those that were asked for below, and what was copied */
async function readTurned(device: CachedDevice, chunks: readonly number[]) {
  const asked: number[] = [];
  const copied: unknown[] = [];
  const below = {
    read: async (_: number, chunk: number) => {
      asked.push(chunk);
      return sampleContent(inTurned(chunk));
    },
  };
  const listen = (message: unknown): void => void copied.push(message);
  subscribe('sluice:cache:copied', listen);
  try {
    const store = new CachedChunks([device], below);
    for (const chunk of chunks) {
      expect(Buffer.compare(await store.read(0, chunk), sampleContent(inTurned(chunk)))).toBe(0);
    }
    return { asked, copied };
  } finally {
    unsubscribe('sluice:cache:copied', listen);
  }
}

function folderOf(directory: string, name: string): string {
  const top = path.join(directory, readdirSync(directory)[0]!);
  return path.join(top, readdirSync(top).find((entry) => entry.startsWith(name))!);
}

function overwrite(file: string, offset: number, bytes: Uint8Array): void {
  const fd = openSync(file, 'r+');
  writeSync(fd, bytes, 0, bytes.length, offset);
  closeSync(fd);
}

const all = Array.from({ length: COUNT }, (_, chunk) => chunk);

describe.each(engines)('chunks across blobs, %s engine', (engine) => {
  it('come from a device that is open here, once, and views see them', () =>
    withCache(engine, async ({ open, device }) => {
      const cache = open();
      fill(device(cache, blob, map));
      const wanted = device(cache, other, turned);
      const { asked, copied } = await readTurned(wanted, [...all, ...all]);
      expect(asked).toEqual([]);
      const bytes = sampleContent(inTurned(3)).length;
      expect(copied.length).toBe(COUNT);
      expect(copied).toContainEqual({ blob: other, chunk: 3, bytes, from: blob });
      const view = new CacheView(wanted.view());
      const target = new Uint8Array(turned.deviceSize);
      expect(view.readInto(0, 0, target)).toBe(true);
      expect(Buffer.compare(target, Buffer.concat(all.map((chunk) => sampleContent(inTurned(chunk)))))).toBe(0);
      view.close();
    }));

  it('come from a device that nobody has open', () =>
    withCache(engine, async ({ open, device }) => {
      const filled = open().openDevice(blob, map, 'sha256');
      fill(filled);
      filled.close();
      expect(await readTurned(device(open(), other, turned), all)).toMatchObject({ asked: [] });
    }));

  it('come from a device that another process made meanwhile, once it is looked for again', () =>
    withCache(engine, async ({ open, device }) => {
      const wanted = device(open(), other, turned);
      expect((await readTurned(wanted, [0])).asked).toEqual([0]);
      const cache = open();
      fill(device(cache, blob, map));
      expect((await readTurned(device(cache, other, turned), [5])).asked).toEqual([]);
    }));

  it('do not come from what was evicted', () =>
    withCache(engine, async ({ open, device }) => {
      const cache = open();
      const source = device(cache, blob, map);
      fill(source);
      source.evict([{ first: 4, last: 6 }]);
      expect((await readTurned(device(cache, other, turned), all)).asked).toEqual([4, 5, 6].map(inTurned).reverse());
    }));

  it.each([true, false])('do not come from bytes that are wrong, of a device open here: %s', (isOpen) =>
    withCache(engine, async ({ directory, open, device }) => {
      const filled = open().openDevice(blob, map, 'sha256');
      fill(filled);
      filled.close();
      overwrite(path.join(folderOf(directory, blob), 'data'), map.uncompressedOffset(7) + 99, Buffer.from('flip'));
      const cache = open();
      if (isOpen) device(cache, blob, map);
      expect((await readTurned(device(cache, other, turned), all)).asked).toEqual([inTurned(7)]);
    }),
  );

  it('never match across digest algorithms', () =>
    withCache(engine, async ({ open, device }) => {
      const cache = open();
      fill(device(cache, blob, map));
      // The digests are the same bytes, and of another algorithm none of them is right.
      const { asked } = await readTurned(device(cache, other, turned, 'blake3'), [1, 2]);
      expect(asked).toEqual([1, 2]);
    }));

  it('are not looked for by a chunk map that does not go with its folder, which is written again', () =>
    withCache(engine, async ({ directory, open, device }) => {
      const filled = open().openDevice(blob, map, 'sha256');
      fill(filled);
      filled.close();
      const file = path.join(folderOf(directory, blob), 'chunks');
      const { size } = statSync(file);
      writeFileSync(file, new Uint8Array(size).fill(7));
      expect((await readTurned(device(open(), other, turned), [0])).asked).toEqual([0]);
      device(open(), blob, map);
      expect((await readTurned(device(open(), other, turned), all)).asked).toEqual([]);
    }));

  it('are served, and not kept, when the cache cannot take them', () =>
    withCache(engine, async ({ open, device }) => {
      const cache = open();
      fill(device(cache, blob, map));
      const wanted = device(cache, other, turned);
      cache.failed(undefined, Object.assign(new Error('no'), { code: 'EIO' }));
      expect(await readTurned(wanted, all)).toMatchObject({ asked: [] });
      expect(wanted.present()).toEqual([]);
    }));
});
