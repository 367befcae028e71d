import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import {
  chmodSync,
  closeSync,
  ftruncateSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { CacheView } from '../../src/cache/cache-view.ts';
import { CachedChunks } from '../../src/cache/cached-chunks.ts';
import type { CachedDevice } from '../../src/cache/cached-device.ts';
import { ChunkCache } from '../../src/cache/chunk-cache.ts';
import { ChunkMap } from '../../src/chunk/chunk-map.ts';
import { loadNative } from '../../src/native.ts';
import { withTemporaryDirectory } from '../support/temporary.ts';
import { reportMissing } from '../support/tools.ts';
import { sampleChunks, sampleContent } from './sample.js';

const native = loadNative();
if (native === undefined) reportMissing('the addon is not built');
const engines = native === undefined ? ['portable'] : ['native', 'portable'];

const COUNT = 24;
const map = ChunkMap.fromChunks(sampleChunks(COUNT));
const blob = 'ab'.repeat(32);
const PLENTY = 2 ** 30;

interface Handle {
  readonly cache: ChunkCache;
  readonly device: CachedDevice;
}

interface Fixture {
  readonly directory: string;
  open(maximumBytes?: number): ChunkCache;
  openDevice(maximumBytes?: number): Handle;
}

async function withCache(engine: string, use: (fixture: Fixture) => Promise<void> | void): Promise<void> {
  await withTemporaryDirectory(async (temporary) => {
    const directory = path.join(temporary, 'cache');
    const closers: (() => void)[] = [];
    const open = (maximumBytes = PLENTY): ChunkCache => {
      const cache = ChunkCache.open(directory, { maximumBytes, ...(engine === 'portable' ? { native: null } : {}) });
      closers.push(() => cache.close());
      return cache;
    };
    const openDevice = (maximumBytes = PLENTY): Handle => {
      const cache = open(maximumBytes);
      const device = cache.openDevice(blob, map, 'sha256');
      closers.push(() => device.close());
      return { cache, device };
    };
    try {
      await use({ directory, open, openDevice });
    } finally {
      for (const close of closers.reverse()) close();
    }
  });
}

function fill(device: CachedDevice, chunks = map.count): void {
  for (let chunk = 0; chunk < chunks; chunk++) expect(device.store(chunk, sampleContent(chunk))).toBe(true);
}

/** What is published on `name` while `action` runs. */
function published(name: string, action: () => void): unknown[] {
  const messages: unknown[] = [];
  const listen = (message: unknown): void => void messages.push(message);
  subscribe(name, listen);
  try {
    action();
  } finally {
    unsubscribe(name, listen);
  }
  return messages;
}

/** Two handles on one cache, as two processes have them, beside the set of chunks that has to be there. */
class Model {
  readonly #open: () => Handle;
  readonly #handles: Handle[];
  readonly #present = new Set<number>();

  constructor(open: () => Handle) {
    this.#open = open;
    this.#handles = [open(), open()];
  }

  store(handle: number, chunk: number): void {
    expect(this.#handles[handle]!.device.store(chunk, sampleContent(chunk))).toBe(true);
    this.#present.add(chunk);
  }

  load(handle: number, chunk: number): void {
    const bytes = this.#handles[handle]!.device.load(chunk);
    expect(bytes !== undefined).toBe(this.#present.has(chunk));
    if (bytes !== undefined) expectContent(bytes, chunk);
  }

  view(handle: number, chunk: number): void {
    const view = new CacheView(this.#handles[handle]!.device.view());
    const target = new Uint8Array(sampleContent(chunk).length);
    if (view.readInto(chunk, 0, target)) expectContent(target, chunk);
    view.close();
  }

  async prune(handle: number, chunk: number): Promise<void> {
    const { cache, device } = this.#handles[handle]!;
    const limit = chunk * 16_384;
    // The state file and the chunk map stay.
    expect(await cache.prune(limit)).toBeLessThanOrEqual(Math.max(limit, 8192));
    const left = new Set(device.present());
    for (const known of this.#present) if (!left.has(known)) this.#present.delete(known);
    expect(left).toEqual(this.#present);
  }

  reopen(handle: number): void {
    this.#handles[handle] = this.#open();
  }
}

function expectContent(bytes: Uint8Array | undefined, chunk: number): void {
  expect(bytes && Buffer.compare(bytes, sampleContent(chunk))).toBe(0);
}

function deviceFolder(directory: string): string {
  const top = path.join(directory, readdirSync(directory)[0]!);
  return path.join(top, readdirSync(top).find((name) => name.startsWith(blob))!);
}

function overwrite(file: string, offset: number, bytes: Uint8Array): void {
  const fd = openSync(file, 'r+');
  writeSync(fd, bytes, 0, bytes.length, offset);
  closeSync(fd);
}

describe.each(engines)('ChunkCache, %s engine', (engine) => {
  it('gives back what was stored, to the main thread and to views', () =>
    withCache(engine, ({ openDevice }) => {
      const { device } = openDevice();
      const view = new CacheView(device.view());
      const target = new Uint8Array(4096);
      expect(device.load(3)).toBeUndefined();
      expect(view.readInto(3, 0, target)).toBe(false);
      fill(device);
      for (let chunk = 0; chunk < map.count; chunk++) expectContent(device.load(chunk), chunk);
      expect(view.readInto(3, 4096, target)).toBe(true);
      expect(target).toEqual(sampleContent(3).subarray(4096, 8192));
      view.close();
    }));

  it('reads through a view across any run of chunks', () =>
    withCache(engine, ({ openDevice }) => {
      const { device } = openDevice();
      fill(device, map.count - 1);
      const view = new CacheView(device.view());
      const image = Buffer.concat(Array.from({ length: map.count }, (_, chunk) => sampleContent(chunk)));
      fc.assert(
        fc.property(fc.nat(map.deviceSize - 1), fc.integer({ min: 1, max: map.deviceSize }), (offset, wanted) => {
          const length = Math.min(wanted, map.deviceSize - offset);
          const chunk = map.find(offset);
          const target = new Uint8Array(length);
          const whole = map.find(offset + length - 1) < map.count - 1;
          expect(view.readInto(chunk, offset - map.uncompressedOffset(chunk), target)).toBe(whole);
          if (whole) expect(image.compare(target, 0, length, offset, offset + length)).toBe(0);
        }),
      );
      view.close();
    }));

  it('verifies what was there before once, and views see it only then', () =>
    withCache(engine, ({ openDevice }) => {
      fill(openDevice().device);
      const { device } = openDevice();
      const view = new CacheView(device.view());
      const target = new Uint8Array(100);
      expect(view.readInto(5, 0, target)).toBe(false);
      const verified = published('sluice:cache:verified', () => {
        expectContent(device.load(5), 5);
        device.load(5);
      });
      expect(verified).toEqual([{ blob, chunk: 5, good: true }]);
      expect(view.readInto(5, 0, target)).toBe(true);
      view.close();
    }));

  it('drops a chunk whose bytes changed on disk, and the read goes on to the store below', () =>
    withCache(engine, async ({ directory, openDevice }) => {
      fill(openDevice().device);
      overwrite(path.join(deviceFolder(directory), 'data'), map.uncompressedOffset(7) + 99, Buffer.from('flip'));
      const { device } = openDevice();
      const asked: number[] = [];
      const below = {
        read: async (_: number, chunk: number) => {
          asked.push(chunk);
          return sampleContent(chunk);
        },
      };
      const chunks = new CachedChunks([device], below);
      for (const chunk of [6, 7, 8, 7])
        expect(Buffer.compare(await chunks.read(0, chunk), sampleContent(chunk))).toBe(0);
      expect(asked).toEqual([7]);
    }));

  it('never believes the state file', () =>
    withCache(engine, ({ directory, openDevice }) => {
      fill(openDevice().device, 12);
      const words = new Uint32Array(map.count).map((_, i) => 2 * i + 1);
      overwrite(path.join(deviceFolder(directory), 'state'), 0, new Uint8Array(words.buffer));
      const { device } = openDevice();
      for (let chunk = 0; chunk < map.count; chunk++) {
        const bytes = device.load(chunk);
        if (chunk < 12) expectContent(bytes, chunk);
        else expect(bytes).toBeUndefined();
      }
    }));

  it('two handles agree with a model whatever they do', () => {
    const operation = fc.record({
      kind: fc.constantFrom('store', 'store', 'load', 'view', 'prune', 'reopen'),
      handle: fc.nat(1),
      chunk: fc.nat(COUNT - 1),
    });
    return fc.assert(
      fc.asyncProperty(fc.array(operation, { minLength: 20, maxLength: 60 }), (operations) =>
        withCache(engine, async ({ openDevice }) => {
          const model = new Model(openDevice);
          for (const { kind, handle, chunk } of operations) await model[kind](handle, chunk);
        }),
      ),
      { numRuns: engine === 'native' ? 60 : 8 },
    );
  });

  it('stays within its bound, all handles together', () =>
    withCache(engine, ({ openDevice }) => {
      const bound = 128 * 1024;
      const handles = [openDevice(bound), openDevice(bound)];
      for (let chunk = 0; chunk < map.count; chunk++) handles[chunk % 2]!.device.store(chunk, sampleContent(chunk));
      const largest = 32 * 1024;
      expect(handles[0]!.cache.usage()).toBeLessThanOrEqual(bound + largest);
      expect(handles[0]!.cache.usage()).toBeGreaterThan(bound / 2);
    }));

  it('stays within its bound when a handle uses a right that it got long ago', () =>
    withCache(engine, ({ openDevice }) => {
      const bound = 256 * 1024;
      const [slow, quick] = [openDevice(bound), openDevice(bound)];
      vi.useFakeTimers({ toFake: ['performance'] });
      try {
        slow.device.store(0, sampleContent(0));
        for (let chunk = 1; chunk < 14; chunk++) quick.device.store(chunk, sampleContent(chunk));
        vi.advanceTimersByTime(1_000);
        const before = quick.cache.usage();
        for (const chunk of [16, 17, 18]) expect(slow.device.store(chunk, sampleContent(chunk))).toBe(true);
        expect(before).toBeGreaterThan(bound - 64 * 1024);
        expect(slow.cache.usage()).toBeLessThanOrEqual(bound);
      } finally {
        vi.useRealTimers();
      }
    }));

  it('evicts nothing of a pinned image, open or not, whoever pinned it, until it is unpinned', () =>
    withCache(engine, async ({ open, openDevice }) => {
      const { cache, device } = openDevice();
      fill(device);
      const other = open();
      const devices = [{ blob, chunks: map, algorithm: 'sha256' as const }];
      const pin = { root: blob, reference: 'app', manifest: 'sha256:0', devices, files: [] };
      await other.pin(pin);
      expect(other.pins()).toMatchObject([{ reference: 'app', devices: [{ bytes: map.deviceSize }] }]);
      await cache.prune(0);
      await other.prune(0);
      expect(device.present().length).toBe(map.count);
      expect(cache.list()).toMatchObject([{ isPinned: true }]);
      await expect(open(map.deviceSize - 1).pin(pin)).rejects.toMatchObject({ code: 'SLUICE_PIN_TOO_LARGE' });
      other.unpin(blob);
      await cache.prune(0);
      expect(device.present()).toEqual([]);
    }));

  it('evicts what was read ahead and never used before all else', () =>
    withCache(engine, async ({ openDevice }) => {
      const { cache, device } = openDevice();
      for (let chunk = 0; chunk < 16; chunk++) {
        device.store(chunk, sampleContent(chunk), chunk < 8 ? 'demand' : 'ahead');
      }
      device.load(9);
      const view = new CacheView(device.view());
      expect(view.readInto(10, 0, new Uint8Array(10))).toBe(true);
      view.close();
      await cache.prune(cache.usage() - 64 * 1024);
      const left = device.present();
      expect(left.slice(0, 8)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
      expect(left).toContain(9);
      expect(left).toContain(10);
      expect(left).not.toContain(8);
    }));

  it('evicts the least recently used first, uses by workers included', () =>
    withCache(engine, async ({ openDevice }) => {
      const { cache, device } = openDevice();
      fill(device, 16);
      device.load(0);
      const view = new CacheView(device.view());
      expect(view.readInto(1, 0, new Uint8Array(10))).toBe(true);
      view.close();
      await cache.prune(cache.usage() - 64 * 1024);
      const left = device.present();
      expect(left).toEqual([0, 1, ...Array.from({ length: 16 }, (_, i) => i).filter((i) => i > 1 && left.includes(i))]);
      expect(left).not.toContain(2);
      expect(left).toContain(15);
    }));

  it('takes back the room of quiet devices first, whole', () =>
    withCache(engine, async ({ directory, open }) => {
      const earlier = open();
      const old = earlier.openDevice(blob, map, 'sha256');
      fill(old);
      old.close();
      const hourAgo = new Date(Date.now() - 3_600_000);
      utimesSync(path.join(deviceFolder(directory), 'state'), hourAgo, hourAgo);
      const cache = open();
      const mine = cache.openDevice('cd'.repeat(32), map, 'sha256');
      fill(mine);
      await cache.prune(cache.usage() - 4096);
      expect(mine.present().length).toBe(map.count);
      expect(cache.list().filter(({ blob: name, bytes }) => name === blob && bytes > 16_384)).toEqual([]);
      mine.close();
    }));

  it('gives back what a killed process wrote but never marked', () =>
    withCache(engine, ({ directory, openDevice, open }) => {
      fill(openDevice().device, 4);
      const folder = deviceFolder(directory);
      overwrite(path.join(folder, 'data'), map.uncompressedOffset(8), new Uint8Array(512 * 1024).fill(1));
      ftruncateSync(openSync(path.join(folder, 'data'), 'r+'), map.deviceSize);
      const before = open().usage();
      const { cache, device } = openDevice();
      expect(cache.usage()).toBeLessThan(before - 100 * 1024);
      expectContent(device.load(3), 3);
    }));

  it('keeps images that disagree about a blob apart', () =>
    withCache(engine, ({ open }) => {
      const cache = open();
      const other = ChunkMap.fromChunks(sampleChunks(COUNT).reverse());
      const [a, b] = [cache.openDevice(blob, map, 'sha256'), cache.openDevice(blob, other, 'sha256')];
      fill(a);
      expect(b.present()).toEqual([]);
      expect(cache.list().length).toBe(2);
      expect(cache.openDevice(blob, map, 'sha256')).toBe(a);
      for (const device of [a, a, b]) device.close();
    }));

  it('refuses bytes of the wrong length', () =>
    withCache(engine, ({ openDevice }) => {
      expect(() => openDevice().device.store(0, new Uint8Array(10))).toThrow(RangeError);
    }));

  it('makes its directory for its owner only, and refuses one that others can write to', () =>
    withCache(engine, ({ directory, openDevice, open }) => {
      openDevice();
      expect(statSync(directory).mode & 0o777).toBe(0o700);
      expect(statSync(deviceFolder(directory)).mode & 0o777).toBe(0o700);
      expect(statSync(path.join(deviceFolder(directory), 'data')).mode & 0o777).toBe(0o600);
      chmodSync(directory, 0o777);
      expect(() => open()).toThrow(expect.objectContaining({ code: 'SLUICE_CACHE_UNSAFE' }));
    }));

  it.each([
    ['a symbolic link for data', (folder: string, victim: string) => symlinkSync(victim, path.join(folder, 'data'))],
    ['a hard link for data', (folder: string, victim: string) => linkSync(victim, path.join(folder, 'data'))],
    ['a directory for data', (folder: string) => mkdirSync(path.join(folder, 'data'))],
    ['a symbolic link for state', (folder: string, victim: string) => symlinkSync(victim, path.join(folder, 'state'))],
  ])('never follows %s', (name, plant) =>
    withCache(engine, async ({ directory, open, openDevice }) => {
      const first = openDevice();
      const folder = deviceFolder(directory);
      const victim = path.join(directory, '..', 'victim');
      writeFileSync(victim, 'precious');
      unlinkSync(path.join(folder, name.endsWith('data') ? 'data' : 'state'));
      plant(folder, victim);
      const cache = open();
      expect(() => cache.openDevice(blob, map, 'sha256')).toThrow(
        expect.objectContaining({ code: 'SLUICE_CACHE_UNSAFE' }),
      );
      expect(cache.list()).toEqual([]);
      await cache.prune(0);
      expect(readFileSync(victim, 'utf8')).toBe('precious');
      first.device.store(0, sampleContent(0));
      expect(readFileSync(victim, 'utf8')).toBe('precious');
    }),
  );

  it('never follows a symbolic link for a device folder', () =>
    withCache(engine, async ({ directory, open, openDevice }) => {
      openDevice();
      const name = path.basename(deviceFolder(directory));
      const elsewhere = path.join(directory, '..', 'elsewhere');
      mkdirSync(elsewhere);
      for (const file of ['data', 'state']) writeFileSync(path.join(elsewhere, file), 'precious');
      const top = path.dirname(deviceFolder(directory));
      const link = path.join(top, name.replace(/^ab/, 'cd'));
      symlinkSync(elsewhere, link);
      const cache = open();
      expect(() => cache.openDevice(`cd${blob.slice(2)}`, map, 'sha256')).toThrow(
        expect.objectContaining({ code: 'SLUICE_CACHE_UNSAFE' }),
      );
      await cache.prune(0);
      expect(readFileSync(path.join(elsewhere, 'data'), 'utf8')).toBe('precious');
    }));
});

describe.skipIf(native === undefined)('ChunkCache', () => {
  it('empties a whole device where no hole can be punched', async () => {
    await withTemporaryDirectory(async (directory) => {
      const cannot = (): never => {
        throw Object.assign(new Error('not supported'), { code: 'EOPNOTSUPP' });
      };
      const cache = ChunkCache.open(directory, {
        maximumBytes: PLENTY,
        native: { flock: native!.flock, copyFileRange: native!.copyFileRange, punchHole: cannot },
      });
      const device = cache.openDevice(blob, map, 'sha256');
      fill(device);
      await cache.prune(cache.usage() - 4096);
      expect(device.present()).toEqual([]);
      expect(device.load(20)).toBeUndefined();
      fill(device);
      expectContent(device.load(20), 20);
      device.close();
      cache.close();
    });
  });

  it('removes a device from the directory only when nobody has it open', () =>
    withCache('native', async ({ directory, open }) => {
      const cache = open();
      const device = open().openDevice(blob, map, 'sha256');
      fill(device);
      await cache.prune(0);
      expect(cache.list().length).toBe(1);
      expect(device.load(1)).toBeUndefined();
      fill(device);
      expectContent(device.load(1), 1);
      device.close();
      await cache.prune(0);
      expect(cache.list()).toEqual([]);
      expect(readdirSync(path.join(directory, 'v1'))).toEqual(['files']);
    }));
});
