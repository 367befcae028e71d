import { execFileSync } from 'node:child_process';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { closeSync, mkdirSync, openSync, rmSync, statfsSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { CacheView } from '../../src/cache/cache-view.ts';
import { CachedChunks } from '../../src/cache/cached-chunks.ts';
import type { CachedDevice } from '../../src/cache/cached-device.ts';
import { ChunkCache } from '../../src/cache/chunk-cache.ts';
import { ChunkMap } from '../../src/chunk/chunk-map.ts';
import { loadNative } from '../../src/native.ts';
import { withTemporaryDirectory } from '../support/temporary.ts';
import { has, isRoot } from '../support/tools.ts';
import { sampleChunks, sampleContent } from './sample.js';

const COUNT = 256;
const map = ChunkMap.fromChunks(sampleChunks(COUNT));
const blob = 'ab'.repeat(32);
const MIB = 2 ** 20;
const canMount = isRoot() && has('mkfs.ext4', 'mount', 'losetup', 'python3');
const cases = (loadNative() === undefined ? ['portable'] : ['native', 'portable']).flatMap((engine) =>
  ['ext4', 'tmpfs'].map((type) => ({ engine, type })),
);

/** EXT4_IOC_SHUTDOWN, fs/ext4/ext4.h: from now on everything is EIO. */
const shutDown = `import fcntl,os,struct,sys
fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587d, struct.pack('I', 2))`;

function mountDisk(folder: string, type: string, images: string): void {
  if (type === 'tmpfs') {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=32m', 'sluice-test', folder]);
    return;
  }
  const image = path.join(images, `${performance.timeOrigin}-${Math.random()}.img`);
  writeFileSync(image, '');
  truncateSync(image, 32 * MIB);
  execFileSync('mkfs.ext4', ['-q', '-m', '0', '-O', '^has_journal', image]);
  execFileSync('mount', ['-o', 'loop', image, folder]);
}

interface Fixture {
  readonly disk: string;
  readonly images: string;
  /** What was published on `sluice:cache:failed`: codes. */
  readonly failures: string[];
  open(minimumFreeBytes?: number): ChunkCache;
  device(cache: ChunkCache): CachedDevice;
}

async function withDisk(engine: string, type: string, use: (fixture: Fixture) => Promise<void>): Promise<void> {
  await withTemporaryDirectory(async (images) => {
    const disk = path.join(images, 'disk');
    mkdirSync(disk);
    mountDisk(disk, type, images);
    const closers: (() => void)[] = [];
    const failures: string[] = [];
    const listen = (message: unknown): void => void failures.push((message as { error: { code: string } }).error.code);
    subscribe('sluice:cache:failed', listen);
    const open = (minimumFreeBytes = 0): ChunkCache => {
      const native = engine === 'portable' ? { native: null } : {};
      const cache = ChunkCache.open(path.join(disk, 'cache'), { maximumBytes: 2 ** 30, minimumFreeBytes, ...native });
      closers.push(() => cache.close());
      return cache;
    };
    const device = (cache: ChunkCache): CachedDevice => {
      const opened = cache.openDevice(blob, map, 'sha256');
      closers.push(() => opened.close());
      return opened;
    };
    try {
      await use({ disk, images, failures, open, device });
    } finally {
      unsubscribe('sluice:cache:failed', listen);
      for (const close of closers.reverse()) close();
      // Also what a test has mounted on top.
      while (isMounted(disk)) execFileSync('umount', ['--lazy', disk]);
    }
  });
}

function isMounted(folder: string): boolean {
  try {
    execFileSync('mountpoint', ['-q', folder]);
    return true;
  } catch {
    return false;
  }
}

/** Takes all of a disk but `left` bytes. */
function fillUp(disk: string, left: number): void {
  const fd = openSync(path.join(disk, 'others'), 'a');
  try {
    for (;;) {
      const { bavail, bsize } = statfsSync(disk);
      const rest = bavail * bsize - left;
      if (rest <= 0) break;
      writeSync(fd, Buffer.alloc(Math.min(rest, MIB), 1));
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
  } finally {
    closeSync(fd);
  }
}

/** Reads the whole image and compares every byte. @returns how many chunks had to be fetched */
async function readAll(device: CachedDevice): Promise<number> {
  let fetched = 0;
  const below = {
    read: async (_: number, chunk: number) => {
      fetched++;
      return sampleContent(chunk);
    },
  };
  const chunks = new CachedChunks([device], below);
  for (let chunk = 0; chunk < COUNT; chunk++) {
    expect(Buffer.compare(await chunks.read(0, chunk), sampleContent(chunk))).toBe(0);
  }
  return fetched;
}

/** The pauses after which the cache tries its disk again. */
const recover = (): void => void vi.advanceTimersByTime(3_000);

describe.skipIf(!canMount).each(cases)('a cache on a disk in trouble, $engine engine, $type', ({ engine, type }) => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['performance'] }));
  afterEach(() => void vi.useRealTimers());

  it('lets reads go on while the disk is full, says so, and takes up its work when it is not', () =>
    withDisk(engine, type, async ({ disk, failures, open, device }) => {
      const cache = open();
      fillUp(disk, 0);
      const opened = device(cache);
      expect(await readAll(opened)).toBe(COUNT);
      expect(failures).toContain('SLUICE_CACHE_FULL');
      expect(cache.state()).toMatchObject({ writable: false, freeBytes: expect.any(Number) });
      expect(cache.state().reason).toMatch(/^Cannot use cache of "/);
      recover();
      expect(await readAll(opened)).toBeGreaterThan(COUNT - 10);
      expect(cache.state().writable).toBe(false);
      rmSync(path.join(disk, 'others'));
      recover();
      expect(await readAll(opened)).toBeGreaterThan(0);
      expect(await readAll(opened)).toBe(0);
      expect(cache.state()).toMatchObject({ writable: true, reason: undefined });
      const view = new CacheView(opened.view());
      expect(view.readInto(0, 0, new Uint8Array(map.deviceSize))).toBe(true);
      view.close();
    }));

  it('leaves what others need free, by eviction, and stores nothing when that is not enough', () =>
    withDisk(engine, type, async ({ disk, open, device }) => {
      const floor = 8 * MIB;
      const free = (): number => statfsSync(disk).bavail * statfsSync(disk).bsize;
      const cache = open(floor);
      const opened = device(cache);
      await readAll(opened);
      expect(opened.present().length).toBe(COUNT);
      fillUp(disk, floor - MIB);
      recover();
      expect(opened.store(0, sampleContent(0))).toBe(true);
      // Chunk 0 is there: nothing had to be stored. The next one is not.
      opened.evict([{ first: 1, last: 1 }]);
      expect(opened.store(1, sampleContent(1))).toBe(true);
      expect(free()).toBeGreaterThanOrEqual(floor);
      expect(opened.present().length).toBeLessThan(COUNT);
      fillUp(disk, MIB);
      recover();
      expect(await readAll(opened)).toBeGreaterThan(0);
      expect(opened.present()).toEqual([]);
      expect(cache.state()).toMatchObject({ writable: false, minimumFreeBytes: floor });
    }));

  it('goes on when its folder is removed under its hands, and makes it anew', () =>
    withDisk(engine, type, async ({ disk, open, device }) => {
      const cache = open();
      const opened = device(cache);
      for (let chunk = 1; chunk < COUNT; chunk++) opened.store(chunk, sampleContent(chunk));
      const view = new CacheView(opened.view());
      rmSync(path.join(disk, 'cache'), { recursive: true });
      expect(await readAll(opened)).toBe(1);
      recover();
      expect(cache.state()).toMatchObject({ writable: true });
      expect(await readAll(opened)).toBe(COUNT);
      expect(await readAll(opened)).toBe(0);
      expect(cache.list()).toMatchObject([{ blob }]);
      // A view from before may miss; what it gives is right.
      const target = new Uint8Array(sampleContent(3).length);
      if (view.readInto(3, 0, target)) expect(Buffer.compare(target, sampleContent(3))).toBe(0);
      view.close();
      const fresh = new CacheView(opened.view());
      expect(fresh.readInto(3, 0, target)).toBe(true);
      fresh.close();
    }));

  it.runIf(type === 'ext4')('goes on when every call is EIO, and with a new disk in the old one’s place', () =>
    withDisk(engine, type, async ({ disk, images, failures, open, device }) => {
      const cache = open();
      const opened = device(cache);
      for (let chunk = 0; chunk < COUNT; chunk += 2) opened.store(chunk, sampleContent(chunk));
      execFileSync('python3', ['-c', shutDown, disk]);
      expect(await readAll(opened)).toBe(COUNT);
      expect(failures).toContain('SLUICE_CACHE_IO');
      expect(cache.state().writable).toBe(false);
      execFileSync('umount', ['--lazy', disk]);
      mountDisk(disk, type, images);
      recover();
      await readAll(opened);
      expect(await readAll(opened)).toBe(0);
      expect(cache.state()).toMatchObject({ writable: true });
    }),
  );

  it.runIf(type === 'ext4')('reads what it has from a disk that became read-only', () =>
    withDisk(engine, type, async ({ disk, failures, open }) => {
      const filled = open().openDevice(blob, map, 'sha256');
      for (let chunk = 0; chunk < COUNT; chunk += 2) filled.store(chunk, sampleContent(chunk));
      filled.close();
      execFileSync('mount', ['-o', 'remount,ro', disk]);
      const cache = open();
      const opened = cache.openDevice(blob, map, 'sha256');
      try {
        expect(await readAll(opened)).toBe(COUNT / 2);
        expect(failures).toContain('SLUICE_CACHE_IO');
        expect(cache.state().writable).toBe(false);
        execFileSync('mount', ['-o', 'remount,rw', disk]);
        recover();
        await readAll(opened);
        expect(await readAll(opened)).toBe(0);
        expect(cache.state()).toMatchObject({ writable: true });
      } finally {
        opened.close();
      }
    }),
  );
});
