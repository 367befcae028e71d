import path from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Bootstrap } from '../../src/bootstrap/bootstrap.ts';
import type { PageRun } from '../../src/bootstrap/page-run.ts';
import { byteStringFromText } from '../../src/byte-string.ts';
import { PAGE_SIZE } from '../../src/chunk/parameters.ts';
import { openImage } from '../../src/image/open-image.ts';
import { openSource } from '../../src/transport/open.ts';
import { type AttachedHot, attachHot, makeHotBlob } from '../support/attach-hot.ts';
import { convertTree } from '../support/conformance-image.ts';
import { content, sha256Hex } from '../support/content.ts';
import { eventually, runBytes } from '../support/process.ts';
import { TestRegistry } from '../support/registry/test-registry.ts';
import { sluice } from '../support/sluice.ts';
import { SluiceMount } from '../support/sluice-mount.ts';
import { makeTemporaryDirectory, removeTemporaryDirectory } from '../support/temporary.ts';
import { has, isRoot } from '../support/tools.ts';

const bytes = content('hot', 4 << 20);
/** The last of its six pages ends early. */
const oddSize = 5 * PAGE_SIZE + 100;
const tree = (data: Uint8Array) => [
  { path: '', mode: 0o040755 },
  { path: 'large', mode: 0o100644, data: [{ offset: 0, bytes: data }] },
  { path: 'odd', mode: 0o100644, data: [{ offset: 0, bytes: data.subarray(0, oddSize) }] },
];
/** Pages of the file: singles, neighbours, one in another hash block, the last. */
const hotPages = [700, 3, 4, 9, 100, 101, 102, 500, 1023];

const choose = (bootstrap: Bootstrap): PageRun[] => choosePages(bootstrap, 'large', hotPages);
const chooseOdd = (bootstrap: Bootstrap): PageRun[] => choosePages(bootstrap, 'odd', [0, 1, 2, 3, 4, 5]);

function choosePages(bootstrap: Bootstrap, name: string, pages: readonly number[]): PageRun[] {
  const nid = bootstrap.erofs.lookup(bootstrap.erofs.rootNid, byteStringFromText(name)) ?? 0;
  return pages.flatMap((page) =>
    Array.from(bootstrap.erofs.mapRange(nid, page * PAGE_SIZE, PAGE_SIZE)).flatMap((segment) =>
      segment.kind === 'device' ? [{ device: segment.device, page: segment.deviceOffset / PAGE_SIZE, pages: 1 }] : [],
    ),
  );
}

// Readers are processes: a read that waits in a thread of this process could keep the registry from answering it.
describe.skipIf(!isRoot() || !has('dd', 'cat'))('a mount of an image with a hot blob', { timeout: 60_000 }, () => {
  let directory: string;
  let registry: TestRegistry;
  let image: string;
  /** Digest of the bootstrap's layer. */
  let bootstrap: string;
  let hot: AttachedHot;
  let pushed: AttachedHot;
  let mounts: SluiceMount[];
  let count = 0;

  beforeAll(async () => {
    directory = makeTemporaryDirectory();
    registry = await TestRegistry.start();
    image = await convertTree(tree(bytes), directory, `docker://${registry.host}/app:1`);
    const source = openSource(image, {});
    bootstrap = (await openImage(source)).bootstrapLayer.digest;
    hot = await makeHotBlob(source, choose);
    pushed = await makeHotBlob(source, chooseOdd);
    await source.close();
  }, 60_000);
  afterAll(async () => {
    await registry.close();
    await removeTemporaryDirectory(directory);
  });
  beforeEach(() => {
    mounts = [];
  });
  afterEach(async () => {
    registry.faults.clear();
    for (const mount of mounts) if (mount.isAlive()) await mount.stop('--force', '--lazy');
  });

  const cacheOf = (name: string): string => path.join(directory, name);
  async function mount(cache = `cache-${count}`, ...flags: readonly string[]): Promise<SluiceMount> {
    const name = path.join(directory, `${count++}`);
    registry.requests.clear();
    const args = ['--on-failure', 'wait:5s', '--cache-dir', cacheOf(cache), ...flags, image];
    const mounted = await SluiceMount.start(args, name);
    mounts.push(mounted);
    return mounted;
  }
  const page = (mounted: SluiceMount, number: number): Promise<Uint8Array> =>
    runBytes('dd', [`if=${mounted.at('large')}`, 'bs=4096', 'count=1', `skip=${number}`, 'status=none']);

  async function expectPages(mounted: SluiceMount): Promise<void> {
    for (const number of hotPages) {
      const expected = bytes.subarray(number * PAGE_SIZE, (number + 1) * PAGE_SIZE);
      expect(Buffer.compare(await page(mounted, number), expected), `page ${number}`).toBe(0);
    }
  }
  const expectAll = async (mounted: SluiceMount): Promise<void> =>
    expect(sha256Hex(await runBytes('cat', [mounted.at('large')]))).toBe(sha256Hex(bytes));
  /** Requests for content, the bootstrap's left out. */
  const asked = (): { size: number; range: string | undefined }[] =>
    registry.requests
      .of('blob')
      .filter(({ target }) => !target.endsWith(bootstrap))
      .map(({ bytes: size, range }) => ({ size, range }));

  it.each(['fuse', 'libfuse'])('gets the pages of the profile in one request, driver %s', async (driver) => {
    await attachHot(image, hot);
    const mounted = await mount(undefined, '--driver', driver);
    if (driver === 'libfuse') {
      // The kernel reads ahead here, and what surrounds the pages is fetched.
      await expectPages(mounted);
      expect(asked()).toContainEqual({ size: hot.bytes.length, range: undefined });
      return;
    }
    await expectPages(mounted);
    expect(asked()).toEqual([{ size: hot.bytes.length, range: undefined }]);
    await expectAll(mounted);
    expect(asked().length).toBeGreaterThan(1);
  });

  it.skipIf(!has('fincore'))('puts the others into the page cache when the first is read', async () => {
    await attachHot(image, pushed);
    const mounted = await mount();
    const cached = async (name: string): Promise<number> =>
      Number(await runBytes('fincore', ['--noheadings', '--output', 'PAGES', mounted.at(name)]).then(String));
    expect(await cached('odd')).toBe(0);
    await runBytes('dd', [`if=${mounted.at('odd')}`, 'bs=4096', 'count=1', 'status=none']);
    await eventually('the pages to be there', async () => ((await cached('odd')) === 6 ? true : undefined));
    expect(await runBytes('cat', [mounted.at('odd')])).toEqual(Buffer.from(bytes.subarray(0, oddSize)));
    expect(await cached('large')).toBe(0);
    await expectAll(mounted);
  });

  it('puts none there while it records what is read', async () => {
    await attachHot(image, pushed);
    const mounted = await mount('traced', '--trace');
    for (const skip of [0, 3, 5])
      await runBytes('dd', [`if=${mounted.at('odd')}`, 'bs=4096', 'count=1', `skip=${skip}`, 'status=none']);
    const { stdout } = await sluice(['trace', 'stop', mounted.directory, '--json', '--cache-dir', cacheOf('traced')]);
    expect(JSON.parse(stdout)).toMatchObject([{ recorded: { pages: 3 } }]);
  });

  it('needs no request for them the next time', async () => {
    await attachHot(image, hot);
    await expectPages(await mount('kept'));
    await eventually('the hot blob to be kept', async () => {
      const files = await runBytes('find', [path.join(directory, 'kept'), '-name', 'hot-*']);
      return files.length > 0 ? true : undefined;
    });
    const again = await mount('kept');
    await expectPages(again);
    expect(registry.requests.of('blob')).toEqual([]);
  });

  it.each([
    ['stalls', { kind: 'stall', after: 3000 }],
    ['stalls before its first byte', { kind: 'stall', after: 0 }],
    ['is missing', { kind: 'status', status: 404 }],
  ] as const)('is read right, and soon, when the hot blob %s', async (_, fault) => {
    await attachHot(image, hot);
    registry.faults.add({ on: 'blob', path: new RegExp(sha256Hex(hot.bytes)), times: 1000, fault });
    const mounted = await mount();
    await expectPages(mounted);
    await expectAll(mounted);
  });

  it.each<[string, () => Promise<AttachedHot> | AttachedHot]>([
    [
      'has a wrong byte',
      () => ({ ...hot, bytes: hot.bytes.map((byte, i) => (i === hot.bytes.length - 9 ? byte ^ 1 : byte)) }),
    ],
    ['is noise', () => ({ pages: 9, bytes: content('noise', 50_000) })],
    ['announces a page', () => ({ ...hot, pages: 1 })],
    ['announces everything', () => ({ ...hot, pages: 2 ** 28 })],
    [
      'is the one of another image',
      async () => {
        const other = await convertTree(
          tree(content('other', 4 << 20)),
          directory,
          `docker://${registry.host}/other:1`,
        );
        const source = openSource(other, {});
        const made = await makeHotBlob(source, choose);
        await source.close();
        return made;
      },
    ],
    [
      'is the whole image',
      async () => {
        const source = openSource(image, {});
        const made = await makeHotBlob(source, ({ devices }) =>
          devices.map(({ chunks }, device) => ({ device, page: 0, pages: chunks.deviceSize / PAGE_SIZE })),
        );
        await source.close();
        return made;
      },
    ],
  ])('is read right when the hot blob %s', async (_, make) => {
    await attachHot(image, await make());
    const mounted = await mount();
    await expectPages(mounted);
    await expectAll(mounted);
  });
});
