import { describe, expect, it } from 'vitest';
import { canonicalJson, describeBytes, writeManifest } from '../../src/oci/canonical-json.ts';
import { parseConfig } from '../../src/oci/config.ts';
import { parseIndex, parseManifest, sniffMediaType } from '../../src/oci/manifest.ts';
import { layerCompression, mediaType } from '../../src/oci/media-types.ts';
import { hostPlatform, parsePlatform, platformCandidates, selectPlatform } from '../../src/oci/platform.ts';

const blob = describeBytes(mediaType.ociLayerGzip, Buffer.from('layer'));
const config = describeBytes(mediaType.ociConfig, Buffer.from('config'));

function raw(type: string, document: unknown) {
  const bytes = Buffer.from(JSON.stringify(document));
  return { descriptor: describeBytes(type, bytes), bytes };
}

describe('canonicalJson()', () => {
  it('writes equal documents alike, whatever the order of their keys', () => {
    const text = '{"a":[{"x":1,"y":2}],"b":"é"}';
    for (const document of [
      { b: 'é', a: [{ y: 2, x: 1 }] },
      { a: [{ x: 1, y: 2, z: undefined }], b: 'é' },
    ]) {
      expect(Buffer.from(canonicalJson(document)).toString()).toBe(text);
    }
  });
});

describe('parseManifest()', () => {
  const good = { schemaVersion: 2, config, layers: [blob] };

  it.each([mediaType.ociManifest, mediaType.dockerManifest])('reads %s', (type) => {
    const manifest = parseManifest(raw(type, { ...good, mediaType: type, annotations: { __proto__x: 'a' } }));
    expect(manifest).toMatchObject({ mediaType: type, config, layers: [blob], annotations: { __proto__x: 'a' } });
  });

  it('reads back what writeManifest() wrote, subject included', () => {
    const written = writeManifest(mediaType.ociManifest, { ...good, subject: blob, artifactType: 'x/y' });
    expect(parseManifest(written)).toMatchObject({ subject: blob, artifactType: 'x/y', layers: [blob] });
  });

  it('keeps embedded content, but none that is long', () => {
    const withData = (data: unknown) => raw(mediaType.ociManifest, { ...good, config: { ...config, data } });
    expect(parseManifest(withData('YQ==')).config).toEqual({ ...config, data: 'YQ==' });
    expect(parseManifest(withData('a'.repeat(65_537))).config).toEqual(config);
    expect(() => parseManifest(withData(5))).toThrow('want a string');
  });

  it('keeps a key called __proto__ a key', () => {
    const bytes = Buffer.from(
      `{"schemaVersion":2,"config":${JSON.stringify(config)},"layers":[],"annotations":{"__proto__":"x"}}`,
    );
    const { annotations } = parseManifest({ descriptor: describeBytes(mediaType.ociManifest, bytes), bytes });
    expect(Object.keys(annotations)).toEqual(['__proto__']);
    expect(Object.getPrototypeOf(annotations)).toBe(Object.prototype);
  });

  it.each([
    ['another type inside than outside', { ...good, mediaType: mediaType.ociIndex }, 'calls itself'],
    ['both kinds at once', { ...good, manifests: [] }, 'both'],
    ['schema 1', { ...good, schemaVersion: 1 }, 'schemaVersion'],
    ['1,001 layers', { ...good, layers: Array(1001).fill(blob) }, 'more than 1000'],
    ['no config', { ...good, config: undefined }, 'config'],
    ['a digest that is a path', { ...good, layers: [{ ...blob, digest: 'sha256:../../etc/passwd' }] }, 'digest'],
    ['an upper-case digest', { ...good, layers: [{ ...blob, digest: blob.digest.toUpperCase() }] }, 'digest'],
    ['a negative size', { ...good, layers: [{ ...blob, size: -1 }] }, 'size'],
    ['a size above 2^53', { ...good, layers: [{ ...blob, size: 2 ** 53 }] }, 'size'],
    ['a size that is text', { ...good, layers: [{ ...blob, size: '5' }] }, 'size'],
    ['layers that are no list', { ...good, layers: {} }, 'list'],
    ['annotations that are no text', { ...good, annotations: { a: 1 } }, 'string'],
    ['a list', [good], 'object'],
  ])('refuses %s', (_, document, why) => {
    expect(() => parseManifest(raw(mediaType.ociManifest, document))).toThrow(why);
  });

  it.each([
    ['too long', Buffer.alloc(4 * 1024 * 1024 + 1, ' '), 'more than'],
    ['too deep', Buffer.from(`${'['.repeat(65)}${']'.repeat(65)}`), 'deeper'],
    ['not UTF-8', Buffer.from([0x22, 0xff, 0x22]), 'UTF-8'],
    ['no JSON', Buffer.from('{"a":'), 'JSON'],
    ['empty', Buffer.alloc(0), 'JSON'],
  ])('refuses a document that is %s', (_, bytes, why) => {
    expect(() => parseManifest({ descriptor: describeBytes(mediaType.ociManifest, bytes), bytes })).toThrow(why);
  });

  it('does not count brackets within strings as depth', () => {
    const annotations = { deep: '['.repeat(1000), escaped: `\\"${'{'.repeat(1000)}` };
    expect(parseManifest(raw(mediaType.ociManifest, { ...good, annotations })).annotations).toEqual(annotations);
  });

  it.each(['text/plain', mediaType.ociIndex, 'application/vnd.docker.distribution.manifest.v1+prettyjws'])(
    'refuses %s as unsupported',
    (type) => {
      expect(() => parseManifest(raw(type, good))).toThrow(
        expect.objectContaining({ code: 'SLUICE_MANIFEST_UNSUPPORTED' }),
      );
    },
  );
});

describe('sniffMediaType()', () => {
  it.each([
    [{ mediaType: 'x/y' }, 'x/y'],
    [{ manifests: [] }, mediaType.ociIndex],
    [{ layers: [] }, mediaType.ociManifest],
  ])('of %j', (document, expected) => {
    expect(sniffMediaType(Buffer.from(JSON.stringify(document)), 'it')).toBe(expected);
  });
});

describe('layerCompression()', () => {
  it.each([
    [mediaType.ociLayer, 'none'],
    [mediaType.ociLayerGzip, 'gzip'],
    [mediaType.ociLayerZstd, 'zstd'],
    ['application/vnd.docker.image.rootfs.diff.tar.gzip', 'gzip'],
    ['application/vnd.docker.image.rootfs.foreign.diff.tar.gzip', 'gzip'],
    ['application/vnd.oci.image.layer.nondistributable.v1.tar+zstd', 'zstd'],
    ['application/vnd.docker.image.rootfs.diff.tar', 'none'],
    ['application/vnd.oci.image.layer.v1.sluice+zstd', undefined],
    ['application/x-tar', undefined],
  ])('of %s is %s', (type, expected) => {
    expect(layerCompression(type)).toBe(expected);
  });
});

describe('selectPlatform()', () => {
  const entry = (os: string, architecture: string, variant?: string) => ({
    ...describeBytes(mediaType.ociManifest, Buffer.from(`${os}${architecture}${variant}`)),
    platform: { os, architecture, ...(variant ? { variant } : {}) },
  });
  const entries = [
    entry('unknown', 'unknown'),
    entry('linux', 'arm', 'v6'),
    entry('linux', 'arm', 'v7'),
    entry('linux', 'arm64', 'v8'),
    entry('linux', 'amd64'),
  ];
  const index = parseIndex(writeManifest(mediaType.ociIndex, { manifests: entries }));

  it.each([
    ['linux/amd64', 4],
    ['linux/x86_64', 4],
    ['linux/arm64', 3],
    ['linux/aarch64/v8', 3],
    ['linux/arm', 2],
    ['linux/arm/v6', 1],
  ])('finds %s', (platform, at) => {
    expect(selectPlatform(index, parsePlatform(platform)).digest).toBe(entries[at]?.digest);
  });

  it('takes this machine’s when it is not told', () => {
    expect(hostPlatform().os).toBe('linux');
    const own = { ...entries[0]!, platform: hostPlatform() };
    expect(selectPlatform({ ...index, manifests: [...entries, own] }).platform?.os).toBe('linux');
  });

  it('lists what there is when there is not the right one', () => {
    expect(() => selectPlatform(index, parsePlatform('windows/amd64'))).toThrow(
      'unknown/unknown, linux/arm/v6, linux/arm/v7',
    );
  });

  it('gives all of one platform, and those without any when there is no other', () => {
    const [one, two] = [entry('linux', 'amd64'), { ...entry('linux', 'amd64'), artifactType: 'x' }];
    expect(
      platformCandidates({ ...index, manifests: [one, ...entries.slice(1, 3), two] }, parsePlatform('linux/amd64')),
    ).toEqual([one, two]);
    const { platform: _, ...bare } = one;
    expect(platformCandidates({ ...index, manifests: [bare] }, parsePlatform('linux/amd64'))).toEqual([bare]);
  });

  it.each(['linux', 'linux/', 'linux/amd64/v1/x', '../x'])('refuses %s as a platform', (text) => {
    expect(() => parsePlatform(text)).toThrow(expect.objectContaining({ code: 'SLUICE_OPTION_INVALID' }));
  });
});

describe('parseConfig()', () => {
  const document = { architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: [blob.digest] } };
  const parse = (value: unknown) => parseConfig(Buffer.from(JSON.stringify(value)));

  it('reads how to start a container, and keeps the document', () => {
    const whole = {
      ...document,
      config: {
        Entrypoint: ['a'],
        Cmd: null,
        Env: ['A=b'],
        User: '1:2',
        Labels: { l: 'm' },
        WorkingDir: '/w',
        StopSignal: 'INT',
      },
      history: [{ x: 1 }],
    };
    const parsed = parse(whole);
    expect(parsed.process).toEqual({
      entrypoint: ['a'],
      command: [],
      environment: ['A=b'],
      user: '1:2',
      labels: { l: 'm' },
      workingDirectory: '/w',
      stopSignal: 'INT',
    });
    expect(parsed.document).toEqual(whole);
    expect(parsed.diffIds).toEqual([blob.digest]);
  });

  it('has defaults for an image that says nothing', () => {
    expect(parse(document).process).toMatchObject({ entrypoint: [], command: [], workingDirectory: '/', user: '' });
  });

  it.each([
    ['no rootfs', { ...document, rootfs: undefined }],
    ['another rootfs', { ...document, rootfs: { type: 'x', diff_ids: [] } }],
    ['a diff_id that is none', { ...document, rootfs: { type: 'layers', diff_ids: ['x'] } }],
    ['an environment that is no text', { ...document, config: { Env: [1] } }],
  ])('refuses %s', (_, value) => {
    expect(() => parse(value)).toThrow(expect.objectContaining({ code: 'SLUICE_MANIFEST_INVALID' }));
  });
});
