import { mkdir, open, readFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { ChunkCache } from '../../src/cache/chunk-cache.ts';
import { attachProfile, type NewProfile } from '../../src/image/attach-profile.ts';
import { findProfiles } from '../../src/image/find-profiles.ts';
import { writeProfileManifest } from '../../src/image/profile-manifest.ts';
import { openContent } from '../../src/mount/image-content.ts';
import { MountWorkers } from '../../src/mount/mount-workers.ts';
import { serveImage } from '../../src/mount/serve-image.ts';
import { describeBytes } from '../../src/oci/canonical-json.ts';
import type { Descriptor, ImageSource, ReferrerTarget } from '../../src/oci/image.ts';
import type { OptimizedProfile } from '../../src/optimize/optimize-image.ts';
import { openReferrerTarget, openSource } from '../../src/transport/open.ts';
import { loadZstd } from '../../src/zstd/codec.ts';
import { content } from '../support/content.ts';
import { convertLayers } from '../support/convert-layers.ts';
import { CountingProxy } from '../support/counting-proxy.ts';
import { DockerRegistry } from '../support/docker-registry.ts';
import { collect, memoryImage, randomBlob, streamOf, tarBytes } from '../support/image.ts';
import { eventually } from '../support/process.ts';
import { TestRegistry } from '../support/registry/test-registry.ts';
import { errorCode, sluice } from '../support/sluice.ts';
import { SluiceMount } from '../support/sluice-mount.ts';
import { makeTemporaryDirectory, removeTemporaryDirectory } from '../support/temporary.ts';
import { has } from '../support/tools.ts';

const page = 4096;
const size = 5_000_000;
const hasDockerRegistry = has('docker-registry');
if (!hasDockerRegistry) console.warn('skipped: optimize against docker-registry, which is not installed');

interface Server {
  readonly host: string;
  close(): Promise<void>;
}

const servers: readonly { name: string; start: () => Promise<Server> }[] = [
  { name: 'a registry with the referrers API', start: () => TestRegistry.start() },
  ...(hasDockerRegistry ? [{ name: 'docker-registry', start: () => DockerRegistry.start() }] : []),
];

/** What is read of a mount: pages of `big`, all over it and no neighbours, since the kernel reads ahead behind two. */
const pagesRead = [3, 9, 700, 705, 1200, 40];

/** Not synchronous: the registry is in this process. */
async function readPages(file: string): Promise<Buffer[]> {
  const handle = await open(file, 'r');
  try {
    const pages: Buffer[] = [];
    for (const at of pagesRead) pages.push((await handle.read(Buffer.alloc(page), 0, page, at * page)).buffer);
    return pages;
  } finally {
    await handle.close();
  }
}

const json = async <Result>(...args: string[]): Promise<Result> => {
  const { status, stdout, stderr } = await sluice([...args, '--json']);
  if (status !== 0) throw new Error(`sluice ${args.join(' ')}: ${stderr}`);
  return JSON.parse(stdout) as Result;
};

describe.each(servers)('sluice optimize with $name', ({ name, start }) => {
  const big = Buffer.from(content('big', size));
  let directory: string;
  let server: Server;
  let proxy: CountingProxy;
  let reference: string;
  let subject: Descriptor;
  let mounts = 0;
  /** The profile that the first test records, as a file. */
  let document = '';
  const mounted: SluiceMount[] = [];

  beforeAll(async () => {
    await loadZstd();
    directory = makeTemporaryDirectory();
    server = await start();
    proxy = await CountingProxy.start(server.host);
    reference = `docker://${proxy.host}/app:v1`;
    const image = memoryImage([await tarBytes([{ name: 'big', content: big }])]);
    await convertLayers(image, directory, { target: `docker://${server.host}/app:v1` });
    subject = await withPlace(async ({ source }) => (await source.resolve()).descriptor);
  });
  afterEach(async () => {
    for (const mount of mounted.splice(0)) await mount.stop();
  });
  afterAll(async () => {
    await proxy?.close();
    await server?.close();
    await removeTemporaryDirectory(directory);
  });

  async function withPlace<Result>(
    use: (place: { source: ImageSource; target: ReferrerTarget }) => Promise<Result>,
  ): Promise<Result> {
    const text = `docker://${server.host}/app:v1`;
    const place = { source: openSource(text, {}), target: openReferrerTarget(text, {}) };
    try {
      return await use(place);
    } finally {
      await Promise.all([place.source.close(), place.target.close()]);
    }
  }

  /** @param cache - one that has nothing, when not given */
  async function mount(cache = path.join(directory, `cache-${mounts}`), ...flags: string[]): Promise<SluiceMount> {
    const where = path.join(directory, `mount-${mounts++}`);
    const mount = await SluiceMount.start(['--cache-dir', cache, ...flags, reference], where);
    mounted.push(mount);
    return mount;
  }

  /** Mounts as if the network had all the time in the world: a machine that is too busy is not what is tested. */
  async function servedPatiently(use: (mounted: string) => Promise<void>): Promise<void> {
    const [mountPoint, cacheDirectory] = [path.join(directory, 'patient'), path.join(directory, 'patient-cache')];
    await mkdir(mountPoint);
    const cache = ChunkCache.open(cacheDirectory, { maximumBytes: 2 ** 30 });
    const workers = new MountWorkers(1);
    const served = await serveImage({
      open: (onManifest) => openContent({ source: openSource(reference, {}), cache, onManifest }),
      mountPoint,
      files: cache.files,
      server: workers,
      patience: { listMs: 30_000, indexMs: 30_000, stallMs: 30_000, totalMs: 30_000 },
      onFailure: (message) => console.warn(message),
    });
    try {
      await use(mountPoint);
    } finally {
      await eventually('the end of the mount', () => served.unmount().then(() => true));
      await workers.close();
      cache.close();
    }
  }

  it('attaches what was recorded to an image that stays the same', async () => {
    const cache = path.join(directory, 'cache');
    const recorded = await mount(cache);
    const here = ['--cache-dir', cache];
    await json('trace', 'start', recorded.directory, ...here);
    await readPages(recorded.at('big'));
    await json('trace', 'stop', recorded.directory, ...here);

    const result = await json<{ manifest: string; profiles: OptimizedProfile[] }>('optimize', reference, ...here);
    expect(result.manifest).toBe(subject.digest);
    expect(result.profiles).toMatchObject([{ name: 'default', pages: pagesRead.length, leftOut: 0 }]);
    const [stored] = await json<{ root: string }[]>('trace', 'show', reference, ...here);
    document = path.join(cache, 'profiles', stored!.root.replace('sha256:', ''), 'default.json');
    await json('optimize', reference, '--from', document, '--profile', 'other', ...here);
    const attached = await withPlace(({ source }) => findProfiles(source, subject.digest));
    expect(attached.map(({ name }) => name)).toEqual(['default', 'other']);
    await withPlace(async ({ source }) => expect((await source.resolve()).descriptor).toEqual(subject));
  });

  it('makes a start need five requests, one of them for all its pages', async () => {
    proxy.take();
    await servedPatiently(async (mounted) => {
      const pages = await readPages(path.join(mounted, 'big'));
      expect(pages).toEqual(pagesRead.map((at) => big.subarray(at * page, (at + 1) * page)));
    });
    const requests = proxy.take();
    expect(requests.map(({ path: target }) => target.split('/').at(-2)).sort()).toEqual(
      ['blobs', 'blobs', 'manifests', 'manifests', 'referrers'].sort(),
    );
    // Less than a chunk's worth: the pages, and what proves them.
    expect(requests.reduce((sum, { received }) => sum + received, 0)).toBeLessThan(200_000);
  });

  it('says which profile is not there', async () => {
    const cache = ['--cache-dir', path.join(directory, 'cache')];
    expect(errorCode(await sluice(['optimize', '--json', ...cache, '--profile', 'no', reference]))).toBe(
      'SLUICE_PROFILE_NOT_FOUND',
    );
  });

  // Once: these have nothing to do with who serves the image.
  if (name !== 'docker-registry') {
    /** What somebody who may write to the repository can put there. */
    const hostile: readonly (readonly [string, (good: NewProfile) => NewProfile])[] = [
      ['that is noise', ({ hot, ...rest }) => ({ ...rest, hot: { bytes: randomBlob(100_000).bytes, pages: 10 } })],
      ['that claims more pages than memory', ({ hot, ...rest }) => ({ ...rest, hot: { ...hot!, pages: 2 ** 28 } })],
      ['that claims fewer pages than it has', ({ hot, ...rest }) => ({ ...rest, hot: { ...hot!, pages: 1 } })],
      [
        'cut in the middle',
        ({ hot, ...rest }) => ({ ...rest, hot: { ...hot!, bytes: hot!.bytes.subarray(0, 20_000) } }),
      ],
      ['with a bit flipped', ({ hot, ...rest }) => ({ ...rest, hot: { ...hot!, bytes: flipped(hot!.bytes) } })],
    ];

    it.each(hostile)('reads right by a profile with a hot blob %s', async (_, spoil) => {
      const spoilt = spoil(await goodProfile());
      await withPlace((place) => attachProfile(place, subject, spoilt));
      proxy.take();
      const reading = await mount();
      expect(await readPages(reading.at('big'))).toEqual(
        pagesRead.map((at) => big.subarray(at * page, (at + 1) * page)),
      );
      expect((await readFile(reading.at('big'))).equals(big)).toBe(true);
      // Every byte of the image once, and the hot blob, tried again once.
      const received = proxy.take().reduce((sum, request) => sum + request.received, 0);
      expect(received).toBeLessThan(size * 1.05 + 2 * (spoilt.hot?.bytes.length ?? 0));
    });

    it('reads right by a profile of another image, and by one whose hot blob is not there', async () => {
      const other = memoryImage([await tarBytes([{ name: 'big', content: content('another', size) }])]);
      const elsewhere = path.join(directory, 'other');
      const { reference: otherReference } = await convertLayers(other, elsewhere);
      await json('optimize', '--from', document, '--cache-dir', path.join(elsewhere, 'cache'), otherReference);
      const strange = await hotBlobOf(otherReference);
      await withPlace((place) => attachProfile(place, subject, { ...strange, document: Buffer.from('{}') }));
      expect((await readFile((await mount()).at('big'))).equals(big)).toBe(true);

      const missing = randomBlob(5000).descriptor;
      await withPlace(async ({ source, target }) => {
        const empty = describeBytes('application/json', Buffer.from('{}'));
        await target.putBlob(empty, () => streamOf(Buffer.from('{}')));
        const listed = (await source.referrers(subject.digest)).map(({ digest }) => digest);
        const parts = { subject, name: 'default', created: new Date(), document: empty };
        const manifest = writeProfileManifest({ ...parts, hot: { descriptor: missing, pages: 3 } });
        const { layers, ...lying } = JSON.parse(Buffer.from(manifest.bytes).toString());
        const bytes = Buffer.from(JSON.stringify({ ...lying, layers: [layers[0]] }));
        await target.putReferrer({ descriptor: describeBytes(manifest.descriptor.mediaType, bytes), bytes }, listed);
      });
      expect((await readFile((await mount()).at('big'))).equals(big)).toBe(true);
    });
  }

  /** The one that the first test made. */
  async function goodProfile(): Promise<NewProfile> {
    return { ...(await hotBlobOf(reference, 'other')), document: await readFile(document) };
  }
});

async function hotBlobOf(reference: string, name?: string): Promise<Pick<NewProfile, 'name' | 'hot'>> {
  const source = openSource(reference, {});
  try {
    const profiles = await findProfiles(source, (await source.resolve()).descriptor.digest);
    const { hot } = profiles.find((profile) => name === undefined || profile.name === name)!;
    return { name: 'default', hot: { bytes: await collect(source.readBlob(hot!.descriptor)), pages: hot!.pages } };
  } finally {
    await source.close();
  }
}

function flipped(bytes: Uint8Array): Uint8Array {
  const copy = Uint8Array.from(bytes);
  copy[copy.length - 500]! ^= 1;
  return copy;
}
