import path from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { FileStore } from '../../src/cache/file-store.ts';
import { attachProfile } from '../../src/image/attach-profile.ts';
import { findProfiles } from '../../src/image/find-profiles.ts';
import { KeptDocuments } from '../../src/image/kept-documents.ts';
import { type AttachedProfile, profileArtifactType } from '../../src/image/profile-manifest.ts';
import { describeBytes } from '../../src/oci/canonical-json.ts';
import type { Digest } from '../../src/oci/digest.ts';
import type { Descriptor, ImageSource } from '../../src/oci/image.ts';
import { parseManifest } from '../../src/oci/manifest.ts';
import { openReferrerTarget, openSource, openTarget } from '../../src/transport/open.ts';
import { decompress, loadZstd } from '../../src/zstd/codec.ts';
import { DockerRegistry } from '../support/docker-registry.ts';
import { collect, putImage, smallImage } from '../support/image.ts';
import { eventually } from '../support/process.ts';
import { TestRegistry } from '../support/registry/test-registry.ts';
import { makeTemporaryDirectory, removeTemporaryDirectory } from '../support/temporary.ts';
import { has } from '../support/tools.ts';

beforeAll(() => loadZstd());

const options = { credentials: 'anonymous' } as const;
const early = new Date('2026-01-01T00:00:00Z');
const late = new Date('2026-01-02T00:00:00Z');

const profile = (name: string, hot?: string) => ({
  name,
  document: Buffer.from(`{"name":"${name}"}`),
  hot: hot === undefined ? undefined : { bytes: Buffer.from(hot), pages: 7 },
});

/** A place images can be in. */
interface Place {
  readonly reference: string;
  /** Whether it lists a profile that was replaced beside the one that replaced it. */
  readonly listsReplaced?: boolean;
  close(): Promise<void>;
}

const places: readonly { name: string; available: () => boolean; open: () => Promise<Place> }[] = [
  {
    name: 'a registry with the referrers API',
    available: () => true,
    open: async () => registryPlace(await TestRegistry.start()),
  },
  {
    name: 'a registry with the referrers API, which deletes nothing',
    available: () => true,
    open: async () => {
      const registry = await TestRegistry.start();
      registry.faults.add({
        method: 'DELETE',
        times: Number.POSITIVE_INFINITY,
        fault: { kind: 'status', status: 405 },
      });
      return { ...registryPlace(registry), listsReplaced: true };
    },
  },
  {
    name: 'a registry without it',
    available: () => true,
    open: async () => registryPlace(await TestRegistry.start({ referrers: false })),
  },
  {
    name: 'docker-registry',
    available: () => has('docker-registry'),
    open: async () => registryPlace(await DockerRegistry.start()),
  },
  {
    name: 'an OCI layout',
    available: () => true,
    open: async () => {
      const folder = makeTemporaryDirectory();
      return { reference: `oci:${path.join(folder, 'layout')}:v1`, close: () => removeTemporaryDirectory(folder) };
    },
  },
];

function registryPlace(server: { readonly host: string; close(): Promise<void> }): Place {
  return { reference: `docker://${server.host}/app:v1`, close: () => server.close() };
}

for (const { name, available } of places) if (!available()) console.warn(`skipped: ${name} is not installed`);

describe.each(places.filter(({ available }) => available()))('profiles in $name', ({ open }) => {
  let place: Place;
  let subject: Descriptor;
  let other: Descriptor;
  const closing: { close(): Promise<void> }[] = [];
  const source = (): ImageSource => track(openSource(place.reference, options));
  const attach = (...[what, when, to = subject]: [ReturnType<typeof profile>, Date, Descriptor?]) =>
    attachProfile({ source: source(), target: track(openReferrerTarget(place.reference, options)) }, to, what, when);
  function track<Closable extends { close(): Promise<void> }>(one: Closable): Closable {
    closing.push(one);
    return one;
  }
  const found = async (digest: Digest = subject.digest): Promise<readonly AttachedProfile[]> =>
    findProfiles(source(), digest);

  beforeAll(async () => {
    place = await open();
    const [image, second] = [await smallImage('profiled'), await smallImage('other')];
    await putImage(openTarget(place.reference.replace('v1', 'v2'), options), second);
    await putImage(openTarget(place.reference, options), image);
    [subject, other] = [image.manifest.descriptor, second.manifest.descriptor];
  });
  afterEach(async () => {
    for (const one of closing.splice(0)) await one.close();
  });
  afterAll(() => place?.close());

  it('are none at first', async () => {
    expect(await found()).toEqual([]);
  });

  it('attachProfile() puts several on one image, which stays as it is', async () => {
    await attach(profile('default', 'hot pages'), early);
    await attach(profile('worker'), early);
    const [first, second, ...rest] = await found();
    expect(rest).toEqual([]);
    expect(first).toMatchObject({ name: 'default', createdMs: early.getTime(), hot: { pages: 7 } });
    expect(second).toMatchObject({ name: 'worker', hot: undefined });
    expect((await collect(source().readBlob(first!.hot!.descriptor))).toString()).toBe('hot pages');
    expect((await source().resolve()).descriptor).toEqual(subject);
    expect(await found(other.digest)).toEqual([]);
  });

  it('attachProfile() replaces the one of its name, and the list does not grow', async () => {
    await attach(profile('default', 'of another image'), early, other);
    const artifact = await attach(profile('default', 'hotter pages'), late);
    expect(await found()).toMatchObject([{ manifest: { digest: artifact.digest } }, { name: 'worker' }]);
    const listed = await source().referrers(subject.digest, profileArtifactType);
    expect(listed.length).toBe(place.listsReplaced ? 3 : 2);
    expect(await found(other.digest)).toHaveLength(1);
  });

  it('attachProfile() does not lose to what is older, in whatever order they are listed', async () => {
    const [before] = await found();
    if (place.listsReplaced) {
      await attach(profile('default', 'made earlier, pushed later'), early);
      expect(await found()).toContainEqual(before);
    }
  });

  it('the artifact holds document and pages as its layers', async () => {
    const [{ manifest } = {} as AttachedProfile] = await found();
    const artifact = parseManifest(await source().readManifest(manifest));
    expect(artifact).toMatchObject({ artifactType: profileArtifactType, subject: { digest: subject.digest } });
    const [document, hot] = artifact.layers;
    const bytes = await collect(source().readBlob(document!));
    expect(Buffer.from(decompress(bytes, 18)).toString()).toBe('{"name":"default"}');
    expect(hot?.mediaType).toBe('application/vnd.dev.sluice.profile.hot.v1+zstd');
  });
});

describe('findProfiles()', () => {
  const digest = describeBytes('', Buffer.from('image')).digest;
  const entry = (annotations: Readonly<Record<string, string>>, artifactType: string = profileArtifactType) => ({
    ...describeBytes('application/vnd.oci.image.manifest.v1+json', Buffer.from(JSON.stringify(annotations))),
    artifactType,
    annotations,
  });
  const listing = (...entries: Descriptor[]) => ({ referrers: async () => entries });
  const hot = {
    'dev.sluice.profile': 'a',
    'dev.sluice.hot-digest': digest,
    'dev.sluice.hot-size': '10',
    'dev.sluice.hot-pages': '3',
  };

  it.each<[string, Descriptor]>([
    ['of another type', entry({ 'dev.sluice.profile': 'a' }, 'application/x.signature')],
    ['without a name', entry({})],
    ['whose name is a path', entry({ 'dev.sluice.profile': '../a' })],
    ['whose name is too long', entry({ 'dev.sluice.profile': 'a'.repeat(65) })],
  ])('leaves out an entry %s', async (_, wrong) => {
    const profiles = await findProfiles(listing(wrong, entry(hot)), digest);
    expect(profiles).toMatchObject([{ name: 'a', createdMs: 0, hot: { descriptor: { digest, size: 10 }, pages: 3 } }]);
  });

  it.each([
    ['dev.sluice.hot-digest', 'sha256:00'],
    ['dev.sluice.hot-digest', 'sha512:00'],
    ['dev.sluice.hot-size', '0'],
    ['dev.sluice.hot-size', '-1'],
    ['dev.sluice.hot-size', '1e9'],
    ['dev.sluice.hot-size', '99999999999999999999'],
    ['dev.sluice.hot-pages', '9007199254740993'],
    ['dev.sluice.hot-pages', 'NaN'],
    ['dev.sluice.hot-pages', ''],
  ])('takes a profile with %s "%s" for one without pages', async (key, value) => {
    const [found] = await findProfiles(listing(entry({ ...hot, [key]: value })), digest);
    expect(found).toMatchObject({ name: 'a', hot: undefined });
  });

  it('prefers the newer one of a name, and the same one in every order', async () => {
    const dated = (created: string, size: string) =>
      entry({ ...hot, 'org.opencontainers.image.created': created, 'dev.sluice.hot-size': size });
    const all = [dated('2026-01-01T00:00:00Z', '1'), dated('2026-01-03T00:00:00Z', '2'), dated('nonsense', '3')];
    for (const order of [all, all.toReversed()]) {
      expect(await findProfiles(listing(...order), digest)).toMatchObject([{ hot: { descriptor: { size: 2 } } }]);
    }
    const twins = [dated('2026-01-03T00:00:00Z', '4'), all[1]!];
    const [one] = await findProfiles(listing(...twins), digest);
    expect(await findProfiles(listing(...twins.toReversed()), digest)).toEqual([one]);
  });

  it('takes a hundred names, not ten thousand', async () => {
    const many = Array.from({ length: 10_000 }, (_, i) => entry({ ...hot, 'dev.sluice.profile': `p${i}` }));
    expect(await findProfiles(listing(...many), digest)).toHaveLength(100);
  });
});

describe('KeptDocuments.referrers()', () => {
  let registry: TestRegistry;
  let folder: string;
  let subject: Descriptor;
  beforeAll(async () => {
    folder = makeTemporaryDirectory();
    registry = await TestRegistry.start();
    const image = await smallImage();
    const target = openTarget(`docker://${registry.host}/app:v1`, options);
    await putImage(target, image);
    await target.close();
    subject = image.manifest.descriptor;
  });
  afterAll(async () => {
    await registry?.close();
    await removeTemporaryDirectory(folder);
  });

  interface Found {
    readonly names: readonly string[];
    /** How often the registry was asked for them. */
    readonly asked: number;
  }

  /** @param find - looks through a cache, as often as it is called */
  async function looking<Result>(
    name: string,
    cache: string,
    use: (find: () => Promise<Found>) => Promise<Result>,
  ): Promise<Result> {
    const source = openSource(`docker://${registry.host}/app${name}`, { ...options, retry });
    const before = registry.requests.of('referrers').length;
    const documents = new KeptDocuments(source, new FileStore(path.join(folder, cache), 2 ** 20));
    try {
      return await use(async () => {
        const profiles = await findProfiles(documents, subject.digest);
        return { names: profiles.map((one) => one.name), asked: registry.requests.of('referrers').length - before };
      });
    } finally {
      await source.close();
    }
  }
  const names = (name: string, cache: string): Promise<Found> => looking(name, cache, (find) => find());
  const retry = { attempts: 1, baseMs: 1, maximumMs: 1, deadlineMs: 1000 };

  it('asks once a day for a manifest, however the image is named, and nobody waits for it again', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    try {
      const byDigest = `@${subject.digest}`;
      expect(await names(byDigest, 'a')).toEqual({ names: [], asked: 1 });
      const reference = `docker://${registry.host}/app:v1`;
      const place = { source: openSource(reference, options), target: openReferrerTarget(reference, options) };
      await attachProfile(place, subject, profile('default'));
      await Promise.all([place.source.close(), place.target.close()]);
      expect(await names(byDigest, 'a')).toEqual({ names: [], asked: 0 });
      expect(await names(':v1', 'a')).toEqual({ names: [], asked: 0 });
      expect(await names(':v1', 'b')).toEqual({ names: ['default'], asked: 1 });

      vi.setSystemTime(Date.now() + 25 * 3600 * 1000);
      await looking(':v1', 'a', async (find) => {
        expect((await find()).names).toEqual([]);
        await eventually('the new list', async () => ((await find()).names.length === 1 ? true : undefined));
      });
      expect(await names(byDigest, 'a')).toEqual({ names: ['default'], asked: 0 });
    } finally {
      vi.useRealTimers();
    }
  });

  it('does without the registry when it has a list, however old', async () => {
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 100 * 24 * 3600 * 1000 });
    registry.faults.add({ fault: { kind: 'status', status: 503 }, times: 10 });
    try {
      expect((await names(':v1', 'a')).names).toEqual(['default']);
      await expect(names(':v1', 'c')).rejects.toMatchObject({ code: 'SLUICE_REGISTRY_UNAVAILABLE' });
    } finally {
      vi.useRealTimers();
      registry.faults.clear();
    }
  });
});
