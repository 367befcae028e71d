import { readFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findMounts } from '../../src/control/control-client.ts';
import { loadNative } from '../../src/native.ts';
import { convertTree } from '../support/conformance-image.ts';
import { content, sha256Hex } from '../support/content.ts';
import { CountingProxy } from '../support/counting-proxy.ts';
import { DockerRegistry } from '../support/docker-registry.ts';
import { runBytes } from '../support/process.ts';
import { SluiceMount } from '../support/sluice-mount.ts';
import { makeTemporaryDirectory, removeTemporaryDirectory } from '../support/temporary.ts';
import { has, isRoot, reportMissing } from '../support/tools.ts';

const count = 50;
const atOnce = 10;
const names = Array.from({ length: 30 }, (_, i) => `file-${i}`);
const bytesOf = (name: string): Uint8Array => content(name, 500_000);
const maximumPerMount = 2 * 2 ** 20;

const hasAddon = loadNative() !== undefined;
if (!hasAddon) reportMissing('the addon is not built: each mount has a thread of its own then');

/** Bytes, resident. */
function memoryOf(pid: number): number {
  const [, kib] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1')) ?? [];
  return Number(kib) * 1024;
}

describe.skipIf(!isRoot() || !hasAddon || !has('docker-registry'))(`${count} mounts of one image`, () => {
  let directory: string;
  let registry: DockerRegistry;
  let proxy: CountingProxy;
  let image: string;
  let mounts: SluiceMount[] = [];

  beforeAll(async () => {
    directory = makeTemporaryDirectory();
    registry = await DockerRegistry.start();
    proxy = await CountingProxy.start(registry.host);
    image = `docker://${proxy.host}/image:converted`;
    const files = names.map((name) => ({ path: name, mode: 0o100644, data: [{ offset: 0, bytes: bytesOf(name) }] }));
    await convertTree([{ path: '', mode: 0o040755 }, ...files], directory, image);
  }, 60_000);
  afterAll(async () => {
    for (const mount of mounts) await mount.stop();
    await proxy?.close();
    await registry?.close();
    await removeTemporaryDirectory(directory);
  }, 120_000);

  const mountOne = (index: number): Promise<SluiceMount> =>
    SluiceMount.start(['--cache-dir', path.join(directory, 'cache'), image], path.join(directory, `mnt-${index}`));

  it('fetch its bytes once, and take little memory each', { timeout: 300_000 }, async () => {
    const first = await mountOne(0);
    mounts = [first];
    const before = memoryOf(first.pid);
    for (let i = 1; i < count; i += atOnce) {
      const some = Array.from({ length: Math.min(atOnce, count - i) }, (_, k) => mountOne(i + k));
      mounts.push(...(await Promise.all(some)));
    }
    expect(new Set(mounts.map(({ pid }) => pid)).size).toBe(1);
    expect(await findMounts(path.join(directory, 'cache'))).toHaveLength(count);
    const perMount = (memoryOf(first.pid) - before) / (count - 1);
    console.log(`${(perMount / 2 ** 20).toFixed(2)} MiB of memory a mount`);

    proxy.take();
    const wanted = names.map((name) => sha256Hex(bytesOf(name)));
    const read = await Promise.all(
      mounts.map(async (mount) =>
        Promise.all(names.map(async (name) => sha256Hex(await runBytes('cat', [mount.at(name)])))),
      ),
    );
    expect(read).toEqual(mounts.map(() => wanted));
    const bodies = proxy.take().filter(({ path }) => path.includes('/blobs/'));
    const fetched = bodies.reduce((sum, { received }) => sum + received, 0);
    const total = names.length * bytesOf('file-0').length;
    console.log(`${fetched} bytes fetched for ${count} times ${total}`);
    // Random content does not compress: frames and gaps between runs are what is above it.
    expect(fetched).toBeGreaterThan(total * 0.9);
    expect(fetched).toBeLessThan(total * 1.05);
    expect(perMount).toBeLessThan(maximumPerMount);
  });
});
