import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { NotFoundError, RegistryError } from '../../src/errors.ts';
import { describeBytes, writeManifest } from '../../src/oci/canonical-json.ts';
import type { ImageSource, ImageTarget } from '../../src/oci/image.ts';
import { parseManifest } from '../../src/oci/manifest.ts';
import { mediaType } from '../../src/oci/media-types.ts';
import { readDocument } from '../../src/oci/read-document.ts';
import { parseReference, type RegistryReference } from '../../src/oci/reference.ts';
import { openRegistryImage } from '../../src/registry/registry-image.ts';
import type { RegistryOptions } from '../../src/registry/registry-options.ts';
import { openRegistryTarget } from '../../src/registry/registry-target.ts';
import { DockerRegistry } from '../support/docker-registry.ts';
import { collect, memoryImage, putImage, randomBlob, smallImage, streamOf, tarBytes } from '../support/image.ts';
import { TestRegistry } from '../support/registry/test-registry.ts';
import { has } from '../support/tools.ts';

const account = { username: 'alice', password: 's3cret:with colon' };
const credentials = { kind: 'password', ...account } as const;

interface Server {
  readonly host: string;
  close(): Promise<void>;
}

interface Platform {
  readonly name: string;
  readonly available: () => boolean;
  readonly start: () => Promise<Server>;
  readonly options: RegistryOptions;
}

/** Everything a client does, against every registry there is: ours and the reference implementation. */
const platforms: readonly Platform[] = [
  {
    name: 'the test registry',
    available: () => true,
    start: () => TestRegistry.start(),
    options: { credentials: 'anonymous' },
  },
  {
    name: 'the test registry with tokens',
    available: () => true,
    start: () => TestRegistry.start({ auth: { kind: 'token', credentials: account } }),
    options: { credentials },
  },
  {
    name: 'the test registry with redirects, without referrers',
    available: () => true,
    start: () => TestRegistry.start({ redirectBlobs: true, referrers: false }),
    options: { credentials: 'anonymous' },
  },
  {
    name: 'docker-registry',
    available: () => has('docker-registry'),
    start: () => DockerRegistry.start(),
    options: { credentials: 'anonymous' },
  },
  {
    name: 'docker-registry with htpasswd',
    available: () => has('docker-registry', 'htpasswd'),
    start: () => DockerRegistry.start({ htpasswd: account }),
    options: { credentials },
  },
];

describe.each(platforms.filter((platform) => platform.available()))('a client of $name', ({ start, options }) => {
  let server: Server;
  const opened: (ImageSource | ImageTarget)[] = [];
  const reference = (text: string) => parseReference(`docker://${server.host}/${text}`) as RegistryReference;
  const image = (text: string) => {
    const source = openRegistryImage(reference(text), options);
    opened.push(source);
    return source;
  };
  const target = (text: string) => {
    const sink = openRegistryTarget(reference(text), options);
    opened.push(sink);
    return sink;
  };

  beforeAll(async () => {
    server = await start();
  });
  afterEach(async () => {
    for (const one of opened.splice(0)) await one.close();
  });
  afterAll(() => server.close());

  it('reads by tag and by digest what it wrote', async () => {
    const small = await smallImage();
    await putImage(target('team/app:v1'), small);
    for (const text of ['team/app:v1', `team/app@${small.manifest.descriptor.digest}`]) {
      const source = image(text);
      const raw = await source.resolve();
      expect(raw.descriptor).toEqual(small.manifest.descriptor);
      expect(Buffer.from(raw.bytes)).toEqual(Buffer.from(small.manifest.bytes));
      const manifest = parseManifest(raw);
      expect(Buffer.from(await readDocument(source, manifest.config))).toEqual(Buffer.from(small.config.bytes));
      for (const { descriptor, bytes } of small.layers) {
        expect((await collect(source.readBlob(descriptor))).equals(bytes)).toBe(true);
      }
      expect(await source.localBlob(small.config.descriptor)).toBeUndefined();
    }
  });

  it.each([
    ['at the start', 0, 10],
    ['in the middle', 70_000, 140_001],
    ['at the end', 199_999, 200_000],
    ['that is everything', 0, 200_000],
    ['that is empty', 5, 5],
  ])('reads a range %s', async (_, from, to) => {
    const blob = randomBlob(200_000);
    await target('ranges:v1').putBlob(blob.descriptor, () => streamOf(blob.bytes));
    const read = await collect(image('ranges:v1').readBlob(blob.descriptor, { start: from, end: to }));
    expect(read.equals(blob.bytes.subarray(from, to))).toBe(true);
  });

  it('refuses a range outside of the blob as a bug of its caller', async () => {
    const blob = randomBlob(10);
    await expect(collect(image('ranges:v1').readBlob(blob.descriptor, { start: 5, end: 11 }))).rejects.toThrow(
      RangeError,
    );
  });

  it('sends a large blob in pieces, and no blob twice', async () => {
    const blob = randomBlob(34_000_000);
    const sink = target('large:v1');
    expect(await sink.hasBlob(blob.descriptor)).toBe(false);
    expect(await sink.putBlob(blob.descriptor, () => streamOf(blob.bytes, 1_000_000))).toBe(true);
    expect(await sink.hasBlob(blob.descriptor)).toBe(true);
    const unread = () => {
      throw new Error('a blob that is there was read again');
    };
    expect(await sink.putBlob(blob.descriptor, unread)).toBe(false);
    const range = { start: 20_000_000, end: 20_000_100 };
    const read = await collect(image('large:v1').readBlob(blob.descriptor, range));
    expect(read.equals(blob.bytes.subarray(range.start, range.end))).toBe(true);
  });

  it.each([1000, 17 * 1024 * 1024])('stores nothing when %d bytes are not what was promised', async (length) => {
    const { descriptor, bytes } = randomBlob(length);
    const wrong = Buffer.from(bytes);
    wrong[500] = ~(wrong[500] ?? 0);
    const sink = target('wrong:v1');
    await expect(sink.putBlob(descriptor, () => streamOf(wrong))).rejects.toMatchObject({
      code: 'SLUICE_DIGEST_MISMATCH',
    });
    await expect(sink.putBlob(descriptor, () => streamOf(bytes.subarray(1)))).rejects.toMatchObject({
      code: 'SLUICE_SIZE_MISMATCH',
    });
    expect(await sink.hasBlob(descriptor)).toBe(false);
  });

  it('mounts a blob of another repository without sending it', async () => {
    const blob = randomBlob(1000);
    await target('from/here:v1').putBlob(blob.descriptor, () => streamOf(blob.bytes));
    const sink = target('to/there:v1');
    expect(await sink.mountBlob(blob.descriptor, 'from/here')).toBe(true);
    expect(await sink.hasBlob(blob.descriptor)).toBe(true);
    expect(await sink.mountBlob(randomBlob(10).descriptor, 'from/here')).toBe(false);
  });

  it('stores an index over manifests it stored by digest', async () => {
    const [one, two] = [await smallImage('one'), await smallImage('two')];
    const sink = target('multi:v1');
    await putImage(sink, one, false);
    await putImage(sink, two, false);
    const manifests = [one, two].map(({ manifest }) => manifest.descriptor);
    const index = writeManifest(mediaType.ociIndex, { manifests });
    await sink.putManifest(index, true);
    const source = image('multi:v1');
    expect((await source.resolve()).descriptor).toEqual(index.descriptor);
    expect((await source.readManifest(two.manifest.descriptor)).descriptor.digest).toBe(two.manifest.descriptor.digest);
  });

  it('finds what refers to an image, by artifact type', async () => {
    const sink = target('subject:v1');
    const subject = await smallImage('subject');
    await putImage(sink, subject);
    const tar = await tarBytes([{ name: 'x', content: 'x' }]);
    const artifact = (artifactType: string) =>
      memoryImage([tar], {
        manifest: { artifactType, subject: subject.manifest.descriptor, annotations: { a: artifactType } },
      });
    for (const type of ['application/x.one', 'application/x.two']) await putImage(sink, artifact(type), false);
    const source = image('subject:v1');
    const all = await source.referrers(subject.manifest.descriptor.digest);
    expect(all.map(({ artifactType }) => artifactType).sort()).toEqual(['application/x.one', 'application/x.two']);
    const two = await source.referrers(subject.manifest.descriptor.digest, 'application/x.two');
    expect(two).toMatchObject([{ artifactType: 'application/x.two', annotations: { a: 'application/x.two' } }]);
    expect(await source.referrers(describeBytes('', Buffer.from('nobody')).digest)).toEqual([]);
  });

  it('says what is not there', async () => {
    await expect(image('nobody/nothing:v9').resolve()).rejects.toMatchObject({ code: 'SLUICE_IMAGE_NOT_FOUND' });
    const missing = collect(image('team/app:v1').readBlob(randomBlob(10).descriptor));
    await expect(missing).rejects.toMatchObject({ code: 'SLUICE_BLOB_NOT_FOUND', facts: { status: 404 } });
    await expect(missing).rejects.toBeInstanceOf(NotFoundError);
  });

  it('stops when it is told to', async () => {
    const blob = randomBlob(1_000_000);
    await target('stop:v1').putBlob(blob.descriptor, () => streamOf(blob.bytes));
    const controller = new AbortController();
    const reading = collect(
      (async function* () {
        for await (const chunk of image('stop:v1').readBlob(blob.descriptor, undefined, controller.signal)) {
          yield chunk;
          controller.abort(new Error('enough'));
        }
      })(),
    );
    await expect(reading).rejects.toThrow('enough');
    await expect(image('stop:v1').resolve(controller.signal)).rejects.toThrow('enough');
  });

  if (options.credentials !== 'anonymous') {
    it.each([
      ['nobody', 'anonymous' as const],
      ['somebody else', { ...credentials, password: 'wrong' }],
    ])('is refused as %s, and keeps the password to itself', async (_, other) => {
      const source = openRegistryImage(reference('team/app:v1'), { credentials: other });
      opened.push(source);
      const error = await source.resolve().catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(RegistryError);
      expect(error).toMatchObject({ code: 'SLUICE_REGISTRY_UNAUTHORIZED' });
      expect(JSON.stringify(error) + String(error)).not.toMatch(/wrong|s3cret/);
    });
  }
});
