import { execFileSync } from 'node:child_process';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { statfsSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { CachedChunks } from '../../src/cache/cached-chunks.ts';
import { ChunkCache } from '../../src/cache/chunk-cache.ts';
import { ChunkMap } from '../../src/chunk/chunk-map.ts';
import { loadNative } from '../../src/native.ts';
import { withTemporaryDirectory } from '../support/temporary.ts';
import { isRoot } from '../support/tools.ts';
import { sampleChunks, sampleContent } from './sample.js';

const COUNT = 64;
const map = ChunkMap.fromChunks(sampleChunks(COUNT));
const engines = loadNative() === undefined ? ['portable'] : ['native', 'portable'];

describe.skipIf(!isRoot()).each(engines)('a cache on a full disk, %s engine', (engine) => {
  it('lets reads go on without it, says so, and recovers', async () => {
    await withTemporaryDirectory(async (directory) => {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=512k', 'sluice-test', directory]);
      const failures: unknown[] = [];
      const listen = (message: unknown): void => void failures.push(message);
      subscribe('sluice:cache:failed', listen);
      const cache = ChunkCache.open(path.join(directory, 'cache'), {
        maximumBytes: 2 ** 30,
        ...(engine === 'portable' ? { native: null } : {}),
      });
      const device = cache.openDevice('ab'.repeat(32), map, 'sha256');
      try {
        const chunks = new CachedChunks([device], { read: async (_, chunk) => sampleContent(chunk) });
        for (let chunk = 0; chunk < COUNT; chunk++) {
          expect(Buffer.compare(await chunks.read(0, chunk), sampleContent(chunk))).toBe(0);
        }
        expect(failures).toContainEqual(
          expect.objectContaining({ error: expect.objectContaining({ code: 'SLUICE_CACHE_FULL' }) }),
        );
        expect(device.present().length).toBeGreaterThan(0);
        expect(device.present().length).toBeLessThan(COUNT);
        for (const chunk of device.present()) {
          expect(Buffer.compare(device.load(chunk)!, sampleContent(chunk))).toBe(0);
        }
        await cache.prune(128 * 1024);
        expect(statfsSync(directory).bfree).toBeGreaterThan(64);
        expect(device.store(COUNT - 1, sampleContent(COUNT - 1))).toBe(true);
      } finally {
        unsubscribe('sluice:cache:failed', listen);
        device.close();
        cache.close();
        execFileSync('umount', [directory]);
      }
    });
  });
});
