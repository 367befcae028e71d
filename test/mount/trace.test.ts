import { execFile } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { byteStringFromText } from '../../src/byte-string.ts';
import { ChunkCache } from '../../src/cache/chunk-cache.ts';
import { openContent } from '../../src/mount/image-content.ts';
import { MountWorkers } from '../../src/mount/mount-workers.ts';
import { type ServedImage, serveImage } from '../../src/mount/serve-image.ts';
import { openSource } from '../../src/transport/open.ts';
import { loadZstd } from '../../src/zstd/codec.ts';
import { content } from '../support/content.ts';
import { convertLayers } from '../support/convert-layers.ts';
import { memoryImage, tarBytes } from '../support/image.ts';
import { makeTemporaryDirectory, removeTemporaryDirectory } from '../support/temporary.ts';
import { has, isRoot } from '../support/tools.ts';

const run = promisify(execFile);

/** Reads pages of a file: `r3` by pread(2) of page 3, `r3+2` of two pages, `m3` by a page fault. */
const reader = `
import mmap, os, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
map = mmap.mmap(fd, 0, prot=mmap.PROT_READ)
for step in sys.argv[2:]:
    page, _, pages = step[1:].partition('+')
    if step[0] == 'm': map[int(page) * 4096 + 5]
    else: os.pread(fd, int(pages or 1) * 4096, int(page) * 4096)
`;

const pages = 512;

describe.skipIf(!isRoot() || !has('python3'))('MountTrace', () => {
  let directory = '';
  let cache: ChunkCache;
  let served: ServedImage;
  let workers: MountWorkers;
  let reference = '';

  beforeAll(async () => {
    await loadZstd();
    directory = makeTemporaryDirectory();
    const members = ['big', 'other'].map((name) => ({ name, content: content(name, pages * 4096 - 100) }));
    ({ reference } = await convertLayers(await memoryImage([await tarBytes(members)]), directory));
    cache = ChunkCache.open(path.join(directory, 'cache'), { maximumBytes: 2 ** 30 });
    await mkdir(path.join(directory, 'mnt'));
    workers = new MountWorkers(2);
    served = await serve('mnt');
  });
  afterAll(async () => {
    await served.unmount();
    await workers.close();
    cache.close();
    await removeTemporaryDirectory(directory);
  });

  function serve(name: string): Promise<ServedImage> {
    return serveImage({
      open: (onManifest) => openContent({ source: openSource(reference, {}), cache, onManifest }),
      mountPoint: path.join(directory, name),
      files: cache.files,
      server: workers,
      onFailure: () => undefined,
      trace: true,
    });
  }

  const read = (file: string, ...steps: readonly string[]): Promise<unknown> =>
    run('python3', ['-c', reader, path.join(served.mountPoint, file), ...steps]);

  function recorded(): readonly (readonly [string, number, number])[] {
    const { erofs } = served.content.image.bootstrap;
    const names = new Map(
      ['big', 'other'].map((name) => [erofs.lookup(erofs.rootNid, byteStringFromText(name)), name] as const),
    );
    const { reads, lost, pageExact } = served.trace!.stop();
    expect({ lost, pageExact }).toEqual({ lost: 0, pageExact: true });
    return reads.map(({ nid, page, pages }) => [names.get(nid) ?? '?', page, pages] as const);
  }

  it('records from the first read on, exactly the pages that are read and faulted in, in order', async () => {
    expect(served.trace?.isActive).toBe(true);
    await read('big', 'r3', 'r4', 'r9', 'm300', 'm200', 'r100+3');
    await read('other', 'r511', 'm0');
    await read('big', 'r0');
    expect(recorded()).toEqual([
      ['big', 3, 1],
      ['big', 4, 1],
      ['big', 9, 1],
      ['big', 300, 1],
      ['big', 200, 1],
      ['big', 100, 1],
      ['big', 101, 1],
      ['big', 102, 1],
      ['other', 511, 1],
      ['other', 0, 1],
      ['big', 0, 1],
    ]);
    expect(served.trace?.isActive).toBe(false);
  });

  it('records nothing while it is stopped, and the kernel reads ahead again', async () => {
    await read('big', 'm20');
    served.trace?.start();
    expect(served.trace?.isActive).toBe(true);
    await read('big', 'r21', 'r22');
    expect(recorded()).toEqual([]);
  });

  it('sees what was cached after dropPages()', async () => {
    served.trace?.start();
    await served.trace?.dropPages();
    await read('big', 'r4', 'm300', 'r21');
    expect(recorded()).toEqual([
      ['big', 4, 1],
      ['big', 300, 1],
      ['big', 21, 1],
    ]);
  });

  it('drops pages that nobody has fetched yet without waiting for itself', async () => {
    served.trace?.start();
    const reads = Promise.all([read('other', 'm50', 'm60'), read('other', 'r400+64')]);
    for (let i = 0; i < 20; i++) await served.trace?.dropPages();
    await reads;
    expect(new Set(recorded().map(([, page]) => page)).size).toBe(66);
  });
});
