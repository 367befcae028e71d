import { readFileSync } from 'node:fs';
import { constants, mkdir, open, readFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { ChunkCache } from '../../src/cache/chunk-cache.ts';
import { openContent } from '../../src/mount/image-content.ts';
import { MountWorkers } from '../../src/mount/mount-workers.ts';
import { type ServedImage, serveImage } from '../../src/mount/serve-image.ts';
import { openSource } from '../../src/transport/open.ts';
import { loadZstd } from '../../src/zstd/codec.ts';
import { content } from '../support/content.ts';
import { convertLayers } from '../support/convert-layers.ts';
import { memoryImage, tarBytes } from '../support/image.ts';
import { TestRegistry, type TestRegistryOptions } from '../support/registry/test-registry.ts';
import { makeTemporaryDirectory, removeTemporaryDirectory } from '../support/temporary.ts';
import { isRoot } from '../support/tools.ts';
import { type Case, cases } from './cases.ts';

const bytes = content('file', 300_000);
const page = fileURLToPath(new URL('../../docs/reliability.md', import.meta.url));

/** Whatever is tried again is tried for so long: a stall alone takes 8 s to be one. */
const patient = 20_000;
const impatient = 700;

describe('docs/reliability.md', () => {
  it('has the cases, and no others', () => {
    const rows = readFileSync(page, 'utf8').matchAll(/^\| ([^|]+) \| (right|EIO, then right) \|$/gm);
    expect(Array.from(rows, ([, name, seen]) => [name, seen])).toEqual(cases.map(({ name, seen }) => [name, seen]));
  });
});

describe.skipIf(!isRoot())('a reader of a mounted file', () => {
  let directory = '';
  let registry: TestRegistry;
  let cache: ChunkCache;
  let workers: MountWorkers;
  let count = 0;

  beforeAll(async () => {
    await loadZstd();
    workers = new MountWorkers(1);
  });
  beforeEach(() => {
    directory = makeTemporaryDirectory();
    cache = ChunkCache.open(path.join(directory, 'cache'), { maximumBytes: 2 ** 30 });
  });
  afterEach(async () => {
    vi.useRealTimers();
    cache.close();
    await registry.close();
    await removeTemporaryDirectory(directory);
  });
  afterAll(() => workers.close());

  /** Mounts an image of one file, of which nothing is here yet. */
  async function mounted(milliseconds: number, options: TestRegistryOptions = {}): Promise<[ServedImage, string]> {
    registry = await TestRegistry.start(options);
    const target = `docker://${registry.host}/image:tag`;
    const layer = await tarBytes([{ name: 'file', content: bytes }]);
    const { reference } = await convertLayers(await memoryImage([layer]), directory, { target });
    const mountPoint = path.join(directory, `mnt-${count++}`);
    await mkdir(mountPoint);
    const failure = { kind: 'wait', milliseconds } as const;
    const served = await serveImage({
      open: (onManifest) => openContent({ source: openSource(reference, {}), cache, failure, onManifest }),
      mountPoint,
      files: cache.files,
      server: workers,
      prefetch: false,
      profile: false,
      onFailure: () => undefined,
    });
    return [served, path.join(mountPoint, 'file')];
  }

  /** Past the page cache, so that every time somebody is asked. */
  async function readDirect(file: string): Promise<Buffer> {
    const handle = await open(file, constants.O_RDONLY | constants.O_DIRECT);
    try {
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(2 ** 20), 0, 2 ** 20, 0);
      return buffer.subarray(0, bytesRead);
    } finally {
      await handle.close();
    }
  }

  async function withCase({ fault, on = 'blob', times = 1, seen, registry: options }: Case): Promise<void> {
    const [served, file] = await mounted(seen === 'right' ? patient : impatient, options);
    try {
      const other = served.content.image.manifest.config.digest;
      registry.faults.add({ on, times, fault: fault(registry, other) });
      if (seen !== 'right') {
        await expect(readFile(file)).rejects.toMatchObject({ code: 'EIO' });
        expect(served.state().lastError?.code).toMatch(/^SLUICE_/);
        registry.faults.clear();
      }
      expect((await readFile(file)).equals(bytes)).toBe(true);
      expect(served.waiting().reads).toBe(0);
    } finally {
      await served.unmount();
    }
  }

  it.each(cases.map((one) => [one.name, one.seen, one] as const))('%s: %s', { timeout: 40_000 }, (_, __, one) =>
    withCase(one),
  );

  it('sees nothing of clocks that jump', async () => {
    const [served, file] = await mounted(patient, { auth: { kind: 'token', uses: 3, expiresIn: 60 } });
    vi.useFakeTimers({ toFake: ['Date'] });
    for (const year of [2001, 2099, 2020]) {
      vi.setSystemTime(new Date(`${year}-06-01`));
      await cache.prune(0);
      registry.revokeTokens();
      expect((await readDirect(file)).equals(bytes)).toBe(true);
    }
    expect(registry.requests.of('token').length).toBeGreaterThan(3);
    await served.unmount();
  });

  it('sees nothing of tokens that live for a second', { timeout: 40_000 }, async () => {
    const auth = { kind: 'token', lifeMs: 1000, expiresIn: 1 } as const;
    const [served, file] = await mounted(patient, { auth });
    for (const end = performance.now() + 4000; performance.now() < end; ) {
      await cache.prune(0);
      expect((await readDirect(file)).equals(bytes)).toBe(true);
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    expect(registry.requests.of('token').length).toBeGreaterThan(3);
    await served.unmount();
  });

  it('waits through an outage, and gets EIO after a longer one, until it is over', { timeout: 40_000 }, async () => {
    const [served, file] = await mounted(3000);
    const port = Number(registry.host.split(':')[1]);
    await registry.pause();
    const reading = readFile(file);
    await new Promise((resolve) => setTimeout(resolve, 500));
    await registry.resume(port);
    expect((await reading).equals(bytes)).toBe(true);
    await cache.prune(0);
    await registry.pause();
    await expect(readDirect(file)).rejects.toMatchObject({ code: 'EIO' });
    await registry.resume(port);
    expect((await readDirect(file)).equals(bytes)).toBe(true);
    await served.unmount();
  });
});
