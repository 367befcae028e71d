import path from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openSource } from '../../src/transport/open.ts';
import { convertTree } from '../support/conformance-image.ts';
import type { TestEntry } from '../support/conformance-tree.ts';
import { content, sha256Hex } from '../support/content.ts';
import { runBytes } from '../support/process.ts';
import { TestRegistry } from '../support/registry/test-registry.ts';
import { SluiceMount } from '../support/sluice-mount.ts';
import { makeTemporaryDirectory, removeTemporaryDirectory } from '../support/temporary.ts';
import { has, isRoot } from '../support/tools.ts';

const contents = new Map([
  ['first', content('first', 700_000)],
  ['second', content('second', 900_000)],
]);
const tree: readonly TestEntry[] = [
  { path: '', mode: 0o040755 },
  ...Array.from(contents, ([name, bytes]) => ({ path: name, mode: 0o100644, data: [{ offset: 0, bytes }] })),
];
const digestOf = (name: string): string => sha256Hex(contents.get(name) ?? new Uint8Array());

describe.skipIf(!isRoot() || !has('cat'))('an image known by its digest, its registry gone', () => {
  let directory: string;
  let registry: TestRegistry;
  let image: string;
  let mounted: SluiceMount | undefined;
  let cache: string;
  let count = 0;

  beforeAll(async () => {
    directory = makeTemporaryDirectory();
    registry = await TestRegistry.start();
    const tagged = await convertTree(tree, directory, `docker://${registry.host}/app:1`);
    const source = openSource(tagged, { plainHttp: true });
    const { descriptor } = await source.resolve();
    await source.close();
    image = `docker://${registry.host}/app@${descriptor.digest}`;
  });
  afterAll(() => removeTemporaryDirectory(directory));
  beforeEach(() => {
    cache = path.join(directory, `cache-${count++}`);
  });
  afterEach(async () => {
    if (mounted?.isAlive() === true) await mounted.stop('--force', '--lazy');
    mounted = undefined;
  });

  async function mount(...flags: readonly string[]): Promise<SluiceMount> {
    mounted = await SluiceMount.start(['--cache-dir', cache, ...flags, image], path.join(directory, 'mount'));
    return mounted;
  }

  const read = async (mount: SluiceMount, name: string): Promise<string> =>
    sha256Hex(await runBytes('cat', [mount.at(name)]));

  /** Mounts and reads, then takes the registry away for the rest of what `use` does. */
  async function withoutRegistry(names: readonly string[], use: () => Promise<void>): Promise<void> {
    const before = await mount('--no-prefetch');
    for (const name of names) expect(await read(before, name)).toBe(digestOf(name));
    await before.stop();
    const port = Number(registry.host.split(':')[1]);
    await registry.pause();
    try {
      await use();
    } finally {
      await registry.resume(port);
    }
  }

  it('is mounted again, and what was read is read again', () =>
    withoutRegistry(['first', 'second'], async () => {
      const again = await mount();
      for (const name of contents.keys()) expect(await read(again, name)).toBe(digestOf(name));
    }));

  it('is an error where it was not read, and right again when the registry is back', async () => {
    await withoutRegistry(['first'], async () => {
      const again = await mount('--on-failure', 'wait:1s');
      expect(await read(again, 'first')).toBe(digestOf('first'));
      await expect(read(again, 'second')).rejects.toThrow('Input/output error');
    });
    expect(await read(mounted!, 'second')).toBe(digestOf('second'));
  });

  it('needs not even be asked for', () =>
    withoutRegistry(['first'], async () => {
      const again = await mount('--on-failure', 'offline');
      expect(await read(again, 'first')).toBe(digestOf('first'));
      const start = performance.now();
      await expect(read(again, 'second')).rejects.toThrow('Input/output error');
      expect(performance.now() - start).toBeLessThan(1_000);
    }));
});
