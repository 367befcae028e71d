import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findMounts } from '../../src/control/control-client.ts';
import { loadNative } from '../../src/native.ts';
import { convertTree } from '../support/conformance-image.ts';
import { content } from '../support/content.ts';
import { eventually } from '../support/process.ts';
import { TestRegistry } from '../support/registry/test-registry.ts';
import { sluice } from '../support/sluice.ts';
import { SluiceMount } from '../support/sluice-mount.ts';
import { makeTemporaryDirectory, removeTemporaryDirectory } from '../support/temporary.ts';
import { isRoot, reportMissing } from '../support/tools.ts';
import { VerifyingReaders } from '../support/verifying-readers.ts';

const kills = Number(process.env.SLUICE_KILLS ?? 25);
const upgrades = Number(process.env.SLUICE_UPGRADES ?? 5);
const readers = 4;
const files = 40;
const fileBytes = 400_000;

const hasAddon = loadNative() !== undefined;
if (!hasAddon) reportMissing('the addon is not built: no mount outlives its daemon');

describe.skipIf(!isRoot() || !hasAddon)('a daemon that is killed or replaced under load', () => {
  let directory: string;
  let original: string;
  let cacheDirectory: string;
  let registry: TestRegistry;
  let mount: SluiceMount;

  beforeAll(async () => {
    directory = makeTemporaryDirectory();
    original = path.join(directory, 'original');
    cacheDirectory = path.join(directory, 'cache');
    await mkdir(original);
    const names = Array.from({ length: files }, (_, i) => `file-${i}`);
    const entries = names.map((name) => ({
      path: name,
      mode: 0o100644,
      data: [{ offset: 0, bytes: content(name, fileBytes) }],
    }));
    for (const name of names) await writeFile(path.join(original, name), content(name, fileBytes));
    registry = await TestRegistry.start();
    const image = `docker://${registry.host}/image:converted`;
    await convertTree([{ path: '', mode: 0o040755 }, ...entries], directory, image);
    // There is always something to fetch, and always somebody who waits for it.
    const bound = ['--cache-size', String((files * fileBytes) / 4)];
    registry.faults.add({ on: 'blob', times: Number.POSITIVE_INFINITY, fault: { kind: 'delay', ms: 20 } });
    mount = await SluiceMount.start(['--cache-dir', cacheDirectory, ...bound, image], path.join(directory, 'mnt'));
  }, 60_000);
  afterAll(async () => {
    await mount?.stop();
    await registry?.close();
    await removeTemporaryDirectory(directory);
  });

  /** The process that serves the mount now. */
  const servedBy = (other?: number): Promise<number> =>
    eventually('somebody to serve the mount', async () => {
      const served = (await findMounts(cacheDirectory)).find(
        ({ status, pid }) => status.mountPoint === mount.directory && pid !== other,
      );
      return served?.pid;
    });

  async function underLoad(work: () => Promise<void>): Promise<void> {
    const load = new VerifyingReaders(readers, mount.directory, original);
    try {
      await load.begun();
      await work();
      const { reads, ...seen } = await load.stop();
      console.log(`${reads} reads, the longest took ${seen.longestMs} ms`);
      expect(seen).toMatchObject({ wrong: 0, errors: {} });
      expect(reads).toBeGreaterThan(readers);
    } finally {
      load.kill();
    }
  }

  it(`is killed ${kills} times, and no reader sees an error`, { timeout: 600_000 }, () =>
    underLoad(async () => {
      for (let i = 0; i < kills; i++) {
        const pid = await servedBy();
        process.kill(pid, 'SIGKILL');
        await servedBy(pid);
        await sleep(100 + Math.random() * 300);
      }
    }),
  );

  it(`is replaced ${upgrades} times, and no reader sees an error`, { timeout: 600_000 }, () =>
    underLoad(async () => {
      const stalls: number[] = [];
      for (let i = 0; i < upgrades; i++) {
        const before = await servedBy();
        const { status, stdout, stderr } = await sluice(['upgrade', '--json', '--cache-dir', cacheDirectory]);
        expect(stderr).toBe('');
        expect(status).toBe(0);
        const { pid, stallMs } = JSON.parse(stdout) as { pid: number; stallMs: number };
        expect(pid).not.toBe(before);
        expect(await servedBy(before)).toBe(pid);
        stalls.push(stallMs);
      }
      console.log(`longest stall of ${upgrades} upgrades: ${Math.max(...stalls)} ms`);
    }),
  );
});
