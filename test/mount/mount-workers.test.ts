import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { ChunkCache } from '../../src/cache/chunk-cache.ts';
import { openContent } from '../../src/mount/image-content.ts';
import { MountWorkers } from '../../src/mount/mount-workers.ts';
import { type ServedImage, type ServeImageOptions, serveImage } from '../../src/mount/serve-image.ts';
import { loadNative, type Native } from '../../src/native.ts';
import { openSource } from '../../src/transport/open.ts';
import { loadZstd } from '../../src/zstd/codec.ts';
import { content } from '../support/content.ts';
import { convertLayers } from '../support/convert-layers.ts';
import { memoryImage, tarBytes } from '../support/image.ts';
import { eventually, run } from '../support/process.ts';
import { TestRegistry } from '../support/registry/test-registry.ts';
import { makeTemporaryDirectory, removeTemporaryDirectory } from '../support/temporary.ts';
import { isRoot, reportMissing } from '../support/tools.ts';

const native = loadNative();
if (native === undefined) reportMissing('the addon is not built: no mount is handed over');

/** When the pool starts all of its threads, and a little. */
const othersAfterMs = 1100;

/** Another descriptor of the same open file, as another process would have it. */
function duplicate({ socketPair, sendDescriptors, receiveDescriptors }: Native, fd: number): number {
  const [here, there] = socketPair();
  sendDescriptors(here, [fd], Uint8Array.of(0));
  const [copy = -1] = receiveDescriptors(there, 1).fds;
  for (const end of [here, there]) closeSync(end);
  return copy;
}

describe('MountWorkers.close()', () => {
  it.each([
    ['native', 0],
    ['native', 300],
    ['portable', 0],
    ['portable', 300],
  ])('lets whoever waits for it go on, engine %s, after %i ms', async (engine, afterMs) => {
    if (engine === 'native' && native === undefined) return;
    const code = `
      import { MountWorkers } from '${new URL('../../dist/mount/mount-workers.js', import.meta.url).href}';
      const workers = new MountWorkers(1);
      await new Promise((resolve) => setTimeout(resolve, ${afterMs}));
      await workers.close();
      await workers.close();
      console.log('closed');`;
    const env = { ...process.env, SLUICE_ENGINE: engine };
    expect(await run(process.execPath, ['--input-type=module', '-e', code], { env })).toBe('closed\n');
  });
});

describe.skipIf(!isRoot() || native === undefined)('MountWorkers', () => {
  let directory = '';
  let registry: TestRegistry;
  let reference = '';
  let cache: ChunkCache;
  let workers: MountWorkers;

  beforeAll(async () => {
    await loadZstd();
    directory = makeTemporaryDirectory();
    registry = await TestRegistry.start();
    const target = `docker://${registry.host}/image:tag`;
    const members = [{ name: 'file', content: content('file', 300_000) }];
    ({ reference } = await convertLayers(await memoryImage([await tarBytes(members)]), directory, { target }));
    cache = ChunkCache.open(path.join(directory, 'cache'), { maximumBytes: 2 ** 30 });
  });
  afterEach(() => registry.faults.clear());
  afterAll(async () => {
    cache.close();
    await registry.close();
    await removeTemporaryDirectory(directory);
  });

  async function serve(name: string, options: Partial<ServeImageOptions> = {}): Promise<ServedImage> {
    const mountPoint = path.join(directory, name);
    if (options.adopt === undefined) await mkdir(mountPoint);
    return serveImage({
      open: (onManifest) => openContent({ source: openSource(reference, {}), cache, onManifest }),
      mountPoint,
      files: cache.files,
      server: workers,
      prefetch: false,
      onFailure: (message) => console.warn(message),
      ...options,
    });
  }

  it('release a mount that was about to get the other threads', async () => {
    workers = new MountWorkers(3);
    const before = await serve('about');
    const fd = duplicate(native!, before.fd!);
    // After an immediate come timers, and then only what threads have to say: the others start before one is heard.
    await setImmediate();
    const released = before.release?.();
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, othersAfterMs);
    await released;
    const after = await serve('about', { adopt: { fd } });
    await after.unmount();
    await workers.close();
  });

  it.each(['before release', 'while nobody serves', 'after adoption'] as const)(
    'let a reader go that is killed %s',
    { timeout: 20_000 },
    async (when) => {
      workers = new MountWorkers(2);
      const name = when.replaceAll(' ', '-');
      const before = await serve(name);
      registry.faults.add({ on: 'blob', times: 1000, fault: { kind: 'stall', after: 0 } });
      const reader = spawn('cat', [path.join(directory, name, 'file')], { stdio: 'ignore' });
      const ended = once(reader, 'exit');
      await eventually('a reader that waits', () => (before.waiting().reads > 0 ? true : undefined));
      if (when === 'before release') reader.kill('SIGKILL');
      const fd = duplicate(native!, before.fd!);
      await before.release?.();
      if (when === 'while nobody serves') reader.kill('SIGKILL');
      const after = await serve(name, { adopt: { fd } });
      if (when === 'after adoption') {
        await eventually('a reader that waits again', () => (after.waiting().reads > 0 ? true : undefined));
        reader.kill('SIGKILL');
      }
      const gone = ended.then(() => 'gone');
      expect(await Promise.race([gone, sleep(10_000, 'stuck', { ref: false })])).toBe('gone');
      // What the kernel read ahead waits still: ending must not answer it on a descriptor that is closed.
      await after.unmount({ lazy: true, abort: true });
      await after.ended;
      await workers.close();
    },
  );
});
