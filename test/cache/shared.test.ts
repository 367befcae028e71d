import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { ChunkCache } from '../../src/cache/chunk-cache.ts';
import { ChunkMap } from '../../src/chunk/chunk-map.ts';
import { loadNative } from '../../src/native.ts';
import { withTemporaryDirectory } from '../support/temporary.ts';
import { reportMissing } from '../support/tools.ts';
import { sampleChunks, sampleContent } from './sample.js';

if (loadNative() === undefined) reportMissing('the addon is not built');
const engines = loadNative() === undefined ? ['portable'] : ['native', 'portable'];

const COUNT = 64;
const BOUND = 384 * 1024;
const LARGEST_CHUNK = 32 * 1024;
const script = fileURLToPath(new URL('./hammer-process.js', import.meta.url));

function hammer(engine: string, directory: string, milliseconds: number): ChildProcess {
  return spawn(process.execPath, [script, directory, `${BOUND}`, `${milliseconds}`, `${COUNT}`], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, SLUICE_ENGINE: engine },
  });
}

type Result = Record<'loaded' | 'copied' | 'stored' | 'evictions' | 'bad' | 'wrong' | 'hits' | 'misses', number>;

async function resultOf(child: ChildProcess): Promise<Result> {
  let last = '';
  for await (const line of createInterface(child.stdout!)) last = line;
  return JSON.parse(last) as Result;
}

function openHere(engine: string, directory: string): ChunkCache {
  return ChunkCache.open(directory, { maximumBytes: BOUND, ...(engine === 'portable' ? { native: null } : {}) });
}

const pinnedBlob = 'ef'.repeat(32);
const pinnedMap = ChunkMap.fromChunks(sampleChunks(8));

/** Fills a device and pins it. */
async function pinOne(engine: string, directory: string): Promise<void> {
  const cache = openHere(engine, directory);
  const device = cache.openDevice(pinnedBlob, pinnedMap, 'sha256');
  for (let chunk = 0; chunk < pinnedMap.count; chunk++) device.store(chunk, sampleContent(chunk));
  const devices = [{ blob: pinnedBlob, chunks: pinnedMap, algorithm: 'sha256' as const }];
  await cache.pin({ root: pinnedBlob, reference: 'pinned', manifest: 'sha256:0', devices, files: [] });
  device.close();
  cache.close();
}

function expectPinned(cache: ChunkCache): void {
  const device = cache.openDevice(pinnedBlob, pinnedMap, 'sha256');
  expect(device.present()).toEqual(Array.from({ length: pinnedMap.count }, (_, chunk) => chunk));
  for (let chunk = 0; chunk < pinnedMap.count; chunk++) {
    expect(Buffer.compare(device.load(chunk)!, sampleContent(chunk))).toBe(0);
  }
  device.close();
}

describe.each(engines)('a cache shared by processes, %s engine', (engine) => {
  it('never gives a wrong byte to any of them, stays within its bound, and keeps what is pinned', async () => {
    await withTemporaryDirectory(async (directory) => {
      await pinOne(engine, directory);
      const children = Array.from({ length: 3 }, () => hammer(engine, directory, 2_500));
      const results = await Promise.all(children.map(resultOf));
      const total = (key: keyof Result): number => results.reduce((sum, result) => sum + result[key], 0);
      expect({ wrong: total('wrong'), bad: total('bad') }).toEqual({ wrong: 0, bad: 0 });
      for (const busy of ['loaded', 'copied', 'stored', 'evictions', 'hits', 'misses'] as const)
        expect(total(busy)).toBeGreaterThan(0);
      const cache = openHere(engine, directory);
      expect(cache.usage()).toBeLessThanOrEqual(BOUND + LARGEST_CHUNK);
      expectPinned(cache);
      cache.close();
    });
  });

  it('is right after a process that was filling it was killed', async () => {
    await withTemporaryDirectory(async (directory) => {
      await pinOne(engine, directory);
      for (let round = 0; round < 4; round++) {
        const child = hammer(engine, directory, 60_000);
        await once(child.stdout!, 'data');
        // Anywhere in the middle of the work: the turns of this loop are not the child's.
        for (let wait = 0; wait < 20 * (round + 1); wait++) await new Promise((resolve) => setImmediate(resolve));
        child.kill('SIGKILL');
        await once(child, 'exit');
      }
      const cache = openHere(engine, directory);
      const map = ChunkMap.fromChunks(sampleChunks(COUNT));
      const device = cache.openDevice('ab'.repeat(32), map, 'sha256');
      for (let chunk = 0; chunk < COUNT; chunk++) {
        const bytes = device.load(chunk);
        if (bytes !== undefined) expect(Buffer.compare(bytes, sampleContent(chunk))).toBe(0);
        expect(device.store(chunk, sampleContent(chunk))).toBe(true);
      }
      expectPinned(cache);
      expect(cache.usage()).toBeLessThanOrEqual(BOUND + LARGEST_CHUNK);
      device.close();
      cache.close();
    });
  });
});
