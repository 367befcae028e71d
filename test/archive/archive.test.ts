import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openDockerArchive } from '../../src/archive/docker-archive.ts';
import { openOciArchive } from '../../src/archive/oci-archive.ts';
import { openOciArchiveTarget } from '../../src/archive/oci-archive-target.ts';
import { TarIndex } from '../../src/archive/tar-index.ts';
import { hash } from '../../src/digest/hash.ts';
import { openLayoutTarget } from '../../src/layout/layout-target.ts';
import { parseConfig } from '../../src/oci/config.ts';
import { digestFromBytes, digestHex } from '../../src/oci/digest.ts';
import type { ImageSource } from '../../src/oci/image.ts';
import { parseManifest } from '../../src/oci/manifest.ts';
import { mediaType } from '../../src/oci/media-types.ts';
import { readDocument } from '../../src/oci/read-document.ts';
import type { DockerArchiveReference, LayoutReference } from '../../src/oci/reference.ts';
import {
  collect,
  type MemoryImage,
  memoryImage,
  putImage,
  smallImage,
  streamOf,
  type TarMember,
  tarBytes,
} from '../support/image.ts';
import { makeTemporaryDirectory, removeTemporaryDirectory } from '../support/temporary.ts';
import { has } from '../support/tools.ts';

let folder: string;
const file = (name: string) => path.join(folder, name);
const oci = (name: string, tag?: string): LayoutReference => ({ transport: 'oci-archive', path: file(name), tag });
const docker = (name: string, tag?: string): DockerArchiveReference => ({
  transport: 'docker-archive',
  path: file(name),
  tag,
});

beforeEach(() => {
  folder = makeTemporaryDirectory();
});
afterEach(() => removeTemporaryDirectory(folder));

async function writeTar(name: string, members: readonly TarMember[]): Promise<void> {
  writeFileSync(file(name), await tarBytes(members));
}

/** Reads every layer in both ways there are and checks it against the manifest. */
async function expectWholeImage(source: ImageSource, image: MemoryImage): Promise<void> {
  const manifest = parseManifest(await source.resolve());
  const config = parseConfig(await readDocument(source, manifest.config));
  expect(config.diffIds).toEqual(parseConfig(image.config.bytes).diffIds);
  expect(manifest.layers).toHaveLength(image.layers.length);
  for (const layer of manifest.layers) {
    const bytes = await collect(source.readBlob(layer));
    expect(digestFromBytes(hash('sha256', bytes))).toBe(layer.digest);
    const local = await source.localBlob(layer);
    expect(local?.length).toBe(layer.size);
    const { path: from = '', offset = 0, length = 0 } = local ?? {};
    expect(
      readFileSync(from)
        .subarray(offset, offset + length)
        .equals(bytes),
    ).toBe(true);
    const part = await collect(source.readBlob(layer, { start: 3, end: 33 }));
    expect(part.equals(bytes.subarray(3, 33))).toBe(true);
  }
}

/** As `docker save` wrote for ten years: a folder a layer, plain tars. */
async function legacyMembers(image: MemoryImage, tags: readonly string[]): Promise<TarMember[]> {
  const config = `${digestHex(image.config.descriptor.digest)}.json`;
  const layers = image.layers.map((_, index) => `${'0'.repeat(63)}${index}/layer.tar`);
  return [
    ...image.layers.map(({ bytes }, index) => ({ name: layers[index] ?? '', content: bytes })),
    { name: config, content: image.config.bytes },
    { name: 'manifest.json', content: JSON.stringify([{ Config: config, RepoTags: tags, Layers: layers }]) },
  ];
}

describe('an OCI archive', () => {
  it('gives back what was written, without unpacking', async () => {
    const image = await smallImage();
    const target = openOciArchiveTarget(oci('a.tar', 'v1'));
    await putImage(target, image);
    await target.close();
    expect(readdirSync(folder)).toEqual(['a.tar']);
    await expectWholeImage(openOciArchive(oci('a.tar', 'v1')), image);
    await expectWholeImage(openOciArchive(oci('a.tar')), image);
    await expect(openOciArchive(oci('a.tar', 'v2')).resolve()).rejects.toMatchObject({
      code: 'SLUICE_IMAGE_NOT_FOUND',
    });
  });

  it('is the same file for the same image', async () => {
    const image = await smallImage();
    for (const name of ['a.tar', 'b.tar']) {
      const target = openOciArchiveTarget(oci(name, 'v1'));
      const blobs = name === 'a.tar' ? image.layers : image.layers.toReversed();
      for (const { descriptor, bytes } of blobs) await target.putBlob(descriptor, () => streamOf(bytes));
      await putImage(target, image);
      await target.close();
    }
    expect(readFileSync(file('a.tar')).equals(readFileSync(file('b.tar')))).toBe(true);
  });

  it('does not appear before its image is complete', async () => {
    const image = await smallImage();
    const target = openOciArchiveTarget(oci('a.tar', 'v1'));
    await putImage(target, image, false);
    const wrong = { ...image.config.descriptor, digest: image.manifest.descriptor.digest, size: 5 };
    expect(await target.hasBlob(wrong)).toBe(true);
    await target.close();
    expect(readdirSync(folder)).toEqual([]);
  });

  it('lists what refers to its image', async () => {
    const image = await smallImage();
    const target = openOciArchiveTarget(oci('a.tar', 'v1'));
    await putImage(target, image);
    const subject = image.manifest.descriptor;
    await putImage(target, memoryImage([], { manifest: { subject, artifactType: 'a/b' } }), false);
    await target.close();
    expect(await openOciArchive(oci('a.tar')).referrers(subject.digest, 'a/b')).toHaveLength(1);
  });
});

describe('a docker archive', () => {
  const plain = { compression: 'none' } as const;

  it('as docker save wrote for years: a folder a layer', async () => {
    const image = await smallImage('a', plain);
    await writeTar('d.tar', await legacyMembers(image, ['app:v1']));
    const source = openDockerArchive(docker('d.tar'));
    await expectWholeImage(source, image);
    expect((await source.resolve()).descriptor).toEqual(
      (await openDockerArchive(docker('d.tar')).resolve()).descriptor,
    );
    expect(await source.referrers(image.manifest.descriptor.digest)).toEqual([]);
  });

  it('as docker save writes now: an OCI layout with a manifest.json', async () => {
    const image = await smallImage('a', plain);
    const blob = (hex: string) => `blobs/sha256/${hex}`;
    const config = blob(digestHex(image.config.descriptor.digest));
    const layers = image.layers.map(({ descriptor }) => blob(digestHex(descriptor.digest)));
    await writeTar('d.tar', [
      { name: 'blobs/', type: 'directory' },
      ...image.layers.map(({ bytes }, index) => ({ name: layers[index] ?? '', content: bytes })),
      { name: config, content: image.config.bytes },
      { name: 'index.json', content: '{}' },
      { name: 'manifest.json', content: JSON.stringify([{ Config: config, RepoTags: null, Layers: layers }]) },
    ]);
    await expectWholeImage(openDockerArchive(docker('d.tar')), image);
  });

  it('with layers that are links to others', async () => {
    const tar = await tarBytes([{ name: 'same', content: 'x'.repeat(100) }]);
    const image = memoryImage([tar, tar, tar], plain);
    const members = await legacyMembers(image, []);
    const zeros = '0'.repeat(63);
    members[1] = { name: `${zeros}1/layer.tar`, type: 'symlink', linkname: `../${zeros}0/layer.tar` };
    members[2] = { name: `${zeros}2/layer.tar`, type: 'link', linkname: `${zeros}1/layer.tar` };
    await writeTar('d.tar', members);
    await expectWholeImage(openDockerArchive(docker('d.tar')), image);
  });

  it('with layers that are compressed', async () => {
    const image = await smallImage('a', { compression: 'gzip' });
    await writeTar('d.tar', await legacyMembers(image, []));
    const source = openDockerArchive(docker('d.tar'));
    await expectWholeImage(source, image);
    expect(parseManifest(await source.resolve()).layers.map((layer) => layer.mediaType)).toEqual([
      mediaType.ociLayerGzip,
      mediaType.ociLayerGzip,
    ]);
  });

  it('with several images', async () => {
    const [one, two] = [await smallImage('a', plain), await smallImage('b', plain)];
    const rename = (members: TarMember[]) =>
      members.map((member) => ({ ...member, name: member.name.replace(/^0/, '1') }));
    const [first, second] = [
      await legacyMembers(one, ['app:v1', 'app:latest']),
      rename(await legacyMembers(two, ['docker.io/library/other:v2'])),
    ];
    const lists = [first, second].map((members) => JSON.parse(String(members.pop()?.content))[0]);
    lists[1].Layers = lists[1].Layers.map((layer: string) => layer.replace(/^0/, '1'));
    await writeTar('d.tar', [...first, ...second, { name: './manifest.json', content: JSON.stringify(lists) }]);
    await expectWholeImage(openDockerArchive(docker('d.tar', 'app:v1')), one);
    await expectWholeImage(openDockerArchive(docker('d.tar', 'app')), one);
    await expectWholeImage(openDockerArchive(docker('d.tar', 'other:v2')), two);
    await expect(openDockerArchive(docker('d.tar')).resolve()).rejects.toThrow('holds 2 images; tags: app:v1');
    await expect(openDockerArchive(docker('d.tar', 'app:v9')).resolve()).rejects.toMatchObject({
      code: 'SLUICE_IMAGE_NOT_FOUND',
    });
  });

  it('that is broken says how', async () => {
    const image = await smallImage('a', plain);
    const members = await legacyMembers(image, []);
    const cases: readonly (readonly [readonly TarMember[], string])[] = [
      [members.slice(0, -1), 'not made by docker save'],
      [members.slice(1), 'is not there'],
      [members.filter(({ name }) => !name.endsWith('.json') || name === 'manifest.json'), 'not made by docker save'],
      [[...members.slice(0, -1), { name: 'manifest.json', content: '[{"Config":5}]' }], 'Config'],
      [[...members.slice(0, -1), { name: 'manifest.json', content: '}' }], 'JSON'],
      [[{ name: 'manifest.json', type: 'symlink', linkname: 'manifest.json' }], 'loop'],
    ];
    for (const [broken, why] of cases) {
      await writeTar('d.tar', broken);
      await expect(openDockerArchive(docker('d.tar')).resolve()).rejects.toThrow(why);
    }
    await expect(openDockerArchive(docker('none.tar')).resolve()).rejects.toMatchObject({
      code: 'SLUICE_IMAGE_NOT_FOUND',
    });
  });
});

describe('TarIndex', () => {
  it('finds members of any length of name', async () => {
    const names = ['a', `${'long/'.repeat(40)}${'n'.repeat(120)}`, 'b/ünï'];
    await writeTar(
      't.tar',
      names.map((name) => ({ name, content: `content of ${name}` })),
    );
    const index = await TarIndex.read(file('t.tar'));
    const bytes = readFileSync(file('t.tar'));
    for (const name of names) {
      const { offset = 0, length = 0 } = index.find(name) ?? {};
      expect(bytes.subarray(offset, offset + length).toString()).toBe(`content of ${name}`);
    }
    expect(index.find('none')).toBeUndefined();
  });

  it.skipIf(!has('tar'))('reads what GNU tar writes, in each of its formats', async () => {
    const name = `${'long-'.repeat(30)}x`;
    writeFileSync(file(name), 'long');
    writeFileSync(file('short'), 'short');
    for (const format of ['v7', 'oldgnu', 'gnu', 'ustar', 'posix']) {
      const members = format === 'v7' || format === 'ustar' ? ['short'] : [name, 'short'];
      execFileSync('tar', ['-C', folder, `--format=${format}`, '-cf', file('t.tar'), ...members]);
      const index = await TarIndex.read(file('t.tar'));
      for (const member of members) expect(index.find(member)?.length).toBe(member.startsWith('long') ? 4 : 5);
    }
  });

  it.each([
    ['compressed', (tar: Buffer) => gzipSync(tar), 'gzip'],
    ['truncated within a header', (tar: Buffer) => tar.subarray(0, 300), 'truncated'],
    ['truncated within a member', (tar: Buffer) => tar.subarray(0, 600), 'truncated'],
    ['damaged', (tar: Buffer) => Buffer.from(tar).fill(0x41, 0, 50), 'checksum'],
  ])('refuses a tar that is %s', async (_, change, why) => {
    const tar = Buffer.from(await tarBytes([{ name: 'a', content: 'x'.repeat(2000) }]));
    writeFileSync(file('t.tar'), change(tar));
    await expect(TarIndex.read(file('t.tar')).then((index) => index.find('a'))).rejects.toThrow(why);
  });
});

describe.skipIf(!has('skopeo'))('skopeo', () => {
  const copy = (from: string, to: string) => execFileSync('skopeo', ['copy', '--quiet', from, to]);

  it('reads an archive we wrote', async () => {
    const image = await smallImage();
    const target = openOciArchiveTarget(oci('a.tar', 'v1'));
    await putImage(target, image);
    await target.close();
    copy(`oci-archive:${file('a.tar')}:v1`, `dir:${file('copy')}`);
    expect(readFileSync(file('copy/manifest.json')).equals(image.manifest.bytes)).toBe(true);
  });

  it.each(['oci-archive', 'docker-archive'] as const)('writes an %s we read', async (transport) => {
    const image = await smallImage();
    await putImage(openLayoutTarget({ transport: 'oci', path: file('layout'), tag: 'v1' }), image);
    copy(`oci:${file('layout')}:v1`, `${transport}:${file('a.tar')}:app:v1`);
    const source =
      transport === 'oci-archive'
        ? openOciArchive(oci('a.tar', 'app:v1'))
        : openDockerArchive(docker('a.tar', 'app:v1'));
    await expectWholeImage(source, image);
  });
});
