import { closeSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ChunkCache } from '../../src/cache/chunk-cache.ts';
import { FuseSession } from '../../src/fuse/session.ts';
import { openContent } from '../../src/mount/image-content.ts';
import { MountWorkers } from '../../src/mount/mount-workers.ts';
import { type ServedImage, type ServeImageOptions, serveImage } from '../../src/mount/serve-image.ts';
import { loadNative, type Native } from '../../src/native.ts';
import { openSource } from '../../src/transport/open.ts';
import { loadZstd } from '../../src/zstd/codec.ts';
import { content, sha256Hex } from '../support/content.ts';
import { convertLayers } from '../support/convert-layers.ts';
import { memoryImage, tarBytes } from '../support/image.ts';
import { eventually, runBytes } from '../support/process.ts';
import { TestRegistry } from '../support/registry/test-registry.ts';
import { makeTemporaryDirectory, removeTemporaryDirectory } from '../support/temporary.ts';
import { isRoot, reportMissing } from '../support/tools.ts';

const native = loadNative();
if (native === undefined) reportMissing('the addon is not built: each mount has a thread of its own');
const names = ['one', 'two', 'three'];
const bytesOf = (name: string): Uint8Array => content(name, 300_000);

/** Another descriptor of the same open file, as another process would have it. */
function duplicate({ socketPair, sendDescriptors, receiveDescriptors }: Native, fd: number): number {
  const [here, there] = socketPair();
  sendDescriptors(here, [fd], Uint8Array.of(0));
  const [copy = -1] = receiveDescriptors(there, 1).fds;
  for (const end of [here, there]) closeSync(end);
  return copy;
}

describe.skipIf(!isRoot() || native === undefined)('ImageMount', () => {
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
    const members = names.map((name) => ({ name, content: bytesOf(name) }));
    ({ reference } = await convertLayers(await memoryImage([await tarBytes(members)]), directory, { target }));
    cache = ChunkCache.open(path.join(directory, 'cache'), { maximumBytes: 2 ** 30 });
    workers = new MountWorkers(2);
  });
  afterAll(async () => {
    await workers.close();
    cache.close();
    await registry.close();
    await removeTemporaryDirectory(directory);
  });

  async function serve(name: string, options: Partial<ServeImageOptions> = {}): Promise<ServedImage> {
    const mountPoint = path.join(directory, name);
    // Who looks at a mount that nobody serves waits.
    if (options.adopt === undefined) await mkdir(mountPoint, { recursive: true });
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

  const hashOf = async (mount: string, name: string): Promise<string> =>
    sha256Hex(await runBytes('cat', [path.join(directory, mount, name)]));

  it('leaves what waits to another one, which adopts the mount', { timeout: 20_000 }, async () => {
    const before = await serve('handed');
    registry.faults.add({ on: 'blob', times: 1000, fault: { kind: 'stall', after: 0 } });
    const read = Promise.all(names.map((name) => hashOf('handed', name)));
    await eventually('readers that wait', () => (before.waiting().reads >= 3 ? true : undefined));
    expect(before.waiting().since).toBeGreaterThan(Date.now() - 60_000);
    const fd = duplicate(native!, before.fd!);
    await before.release?.();
    await before.ended;
    registry.faults.clear();
    const after = await serve('handed', { adopt: { fd } });
    expect(await read).toEqual(names.map((name) => sha256Hex(bytesOf(name))));
    expect(after.reads?.snapshot().misses).toBeGreaterThanOrEqual(3);
    await after.unmount();
  });

  it('shares its threads with other mounts, which go on when it ends', async () => {
    const mounts = await Promise.all(names.map((name) => serve(name)));
    const wanted = names.map((name) => sha256Hex(bytesOf(name)));
    const readAll = (mount: string): Promise<string[]> => Promise.all(names.map((name) => hashOf(mount, name)));
    expect(await Promise.all(names.map(readAll))).toEqual([wanted, wanted, wanted]);
    const [first, second, third] = mounts;
    const reading = readAll('two');
    await first?.unmount();
    expect(await reading).toEqual(wanted);
    await second?.unmount();
    expect(await readAll('three')).toEqual(wanted);
    const { reads, bytes, misses, buckets } = third!.reads!.snapshot();
    expect(reads + misses).toBeGreaterThanOrEqual(names.length);
    expect(buckets.reduce((sum, count) => sum + count)).toBe(reads);
    if (misses === 0) expect(bytes).toBe(names.length * bytesOf('one').length);
    await third?.unmount();
  });

  it('is served by a clone where the kernel sends nothing again, so that nobody waits for a dead process', async () => {
    const mountPoint = path.join(directory, 'old');
    await mkdir(mountPoint);
    const session = await FuseSession.open({ mountPoint, source: 'old', resends: false });
    expect(session.served).not.toBe(session.fd);
    await session.unmount({ lazy: true });
    session.close();
  });
});
