import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openLayoutImage } from '../../src/layout/layout-folder.ts';
import { openLayoutTarget } from '../../src/layout/layout-target.ts';
import { replaceLocked } from '../../src/layout/replace-locked.ts';
import { digestHex } from '../../src/oci/digest.ts';
import { parseManifest } from '../../src/oci/manifest.ts';
import type { LayoutReference } from '../../src/oci/reference.ts';
import { collect, memoryImage, putImage, randomBlob, smallImage, streamOf, tarBytes } from '../support/image.ts';
import { makeTemporaryDirectory, removeTemporaryDirectory } from '../support/temporary.ts';
import { has } from '../support/tools.ts';

let folder: string;
const at = (tag?: string): LayoutReference => ({ transport: 'oci', path: path.join(folder, 'layout'), tag });
const file = (name: string) => path.join(folder, 'layout', name);

beforeEach(() => {
  folder = makeTemporaryDirectory();
});
afterEach(() => removeTemporaryDirectory(folder));

describe('an OCI layout folder', () => {
  it('gives back what was written, blobs as local files', async () => {
    const image = await smallImage();
    await putImage(openLayoutTarget(at('v1')), image);
    const source = openLayoutImage(at('v1'));
    const raw = await source.resolve();
    expect(raw.descriptor).toEqual(image.manifest.descriptor);
    for (const layer of parseManifest(raw).layers) {
      const bytes = await collect(source.readBlob(layer));
      const local = await source.localBlob(layer);
      expect(local).toEqual({ path: file(`blobs/sha256/${digestHex(layer.digest)}`), offset: 0, length: layer.size });
      expect(readFileSync(local?.path ?? '').equals(bytes)).toBe(true);
      const part = await collect(source.readBlob(layer, { start: 10, end: 20 }));
      expect(part.equals(bytes.subarray(10, 20))).toBe(true);
    }
  });

  it('holds several images under tags, and replaces what a tag names', async () => {
    const images = [await smallImage('a'), await smallImage('b'), await smallImage('c')];
    await putImage(openLayoutTarget(at('one')), images[0]!);
    await putImage(openLayoutTarget(at('two')), images[1]!);
    await putImage(openLayoutTarget(at('one')), images[2]!);
    expect((await openLayoutImage(at('one')).resolve()).descriptor).toEqual(images[2]!.manifest.descriptor);
    expect((await openLayoutImage(at('two')).resolve()).descriptor).toEqual(images[1]!.manifest.descriptor);
    expect(JSON.parse(readFileSync(file('index.json'), 'utf8')).manifests).toHaveLength(2);
    await expect(openLayoutImage(at()).resolve()).rejects.toThrow('holds 2 images; tags: two, one');
    await expect(openLayoutImage(at('three')).resolve()).rejects.toMatchObject({ code: 'SLUICE_IMAGE_NOT_FOUND' });
  });

  it('needs no tag for the only image, also beside its referrers', async () => {
    const image = await smallImage();
    const target = openLayoutTarget(at());
    await putImage(target, await smallImage('before'));
    await putImage(target, image);
    const tar = await tarBytes([{ name: 'x', content: 'x' }]);
    const subject = image.manifest.descriptor;
    await putImage(target, memoryImage([tar], { manifest: { subject, artifactType: 'application/x.sig' } }), false);
    const source = openLayoutImage(at());
    expect((await source.resolve()).descriptor).toEqual(subject);
    expect(await source.referrers(subject.digest)).toMatchObject([{ artifactType: 'application/x.sig' }]);
    expect(await source.referrers(subject.digest, 'application/x.other')).toEqual([]);
  });

  it('stores nothing that is not what was promised, and leaves nothing behind', async () => {
    const { descriptor, bytes } = randomBlob(100_000);
    const target = openLayoutTarget(at('v1'));
    const wrong = Buffer.from(bytes).fill(0, 50_000, 50_001);
    wrong[50_000] = ~(bytes[50_000] ?? 0);
    const putting = target.putBlob(descriptor, () => streamOf(wrong));
    await expect(putting).rejects.toMatchObject({ code: 'SLUICE_DIGEST_MISMATCH' });
    expect(await target.hasBlob(descriptor)).toBe(false);
    expect(readdirSync(file('.'), { recursive: true })).toEqual(['blobs', 'blobs/sha256']);
    expect(await target.putBlob(descriptor, () => streamOf(bytes))).toBe(true);
    expect(await target.putBlob(descriptor, () => streamOf(wrong))).toBe(false);
  });

  it('refuses a manifest that was changed or cut', async () => {
    const image = await smallImage();
    await putImage(openLayoutTarget(at('v1')), image);
    const blob = file(`blobs/sha256/${digestHex(image.manifest.descriptor.digest)}`);
    for (const bytes of [
      Buffer.from(image.manifest.bytes).fill('x', 3, 4),
      image.manifest.bytes.subarray(1),
      Buffer.concat([image.manifest.bytes, Buffer.from(' ')]),
    ]) {
      writeFileSync(blob, bytes);
      await expect(openLayoutImage(at('v1')).resolve()).rejects.toMatchObject({ exit: 5 });
    }
  });

  it('gives no range of a blob that was cut, and none outside of it', async () => {
    const { descriptor, bytes } = randomBlob(1000);
    const target = openLayoutTarget(at('v1'));
    await target.putBlob(descriptor, () => streamOf(bytes));
    const read = (start: number, end: number) => collect(openLayoutImage(at()).readBlob(descriptor, { start, end }));
    expect((await read(1000, 1000)).length).toBe(0);
    await expect(read(0, 1001)).rejects.toThrow(RangeError);
    writeFileSync(file(`blobs/sha256/${digestHex(descriptor.digest)}`), bytes.subarray(0, 500));
    await expect(read(0, 10)).rejects.toMatchObject({ code: 'SLUICE_SIZE_MISMATCH' });
  });

  it('says what is wrong with a folder that is no layout', async () => {
    await expect(openLayoutImage(at()).resolve()).rejects.toThrow('no OCI layout there');
    mkdirSync(file('.'));
    writeFileSync(file('oci-layout'), '{"imageLayoutVersion":"2.0.0"}');
    await expect(openLayoutImage(at()).resolve()).rejects.toMatchObject({ code: 'SLUICE_MANIFEST_UNSUPPORTED' });
    writeFileSync(file('oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
    await expect(openLayoutImage(at()).resolve()).rejects.toThrow('no index.json');
    await expect(collect(openLayoutImage(at()).readBlob(randomBlob(1).descriptor))).rejects.toMatchObject({
      code: 'SLUICE_BLOB_NOT_FOUND',
    });
  });

  it('keeps every image when many are written at once', async () => {
    const tags = Array.from({ length: 20 }, (_, index) => `t${index}`);
    await Promise.all(tags.map(async (tag) => putImage(openLayoutTarget(at(tag)), await smallImage(tag))));
    for (const tag of tags) await openLayoutImage(at(tag)).resolve();
    expect(readdirSync(file('.')).sort()).toEqual(['blobs', 'index.json', 'oci-layout']);
  });
});

describe('replaceLocked()', () => {
  it('leaves the file alone, and the lock free, when the update fails', async () => {
    const target = path.join(folder, 'f');
    writeFileSync(target, 'old');
    const failing = () => {
      throw new Error('no');
    };
    await expect(replaceLocked(target, failing)).rejects.toThrow('no');
    expect(readFileSync(target, 'utf8')).toBe('old');
    expect(existsSync(`${target}.lock`)).toBe(false);
  });

  it('waits for who holds the lock, until it is told to stop', async () => {
    const target = path.join(folder, 'f');
    writeFileSync(`${target}.lock`, '');
    await expect(replaceLocked(target, () => Buffer.from('new'), AbortSignal.timeout(50))).rejects.toThrow(/abort/i);
    expect(existsSync(target)).toBe(false);
  });
});

describe.skipIf(!has('skopeo'))('skopeo', () => {
  it('copies from a layout we wrote', async () => {
    const image = await smallImage();
    await putImage(openLayoutTarget(at('v1')), image);
    const copy = path.join(folder, 'copy');
    execFileSync('skopeo', ['copy', '--quiet', `oci:${file('.')}:v1`, `dir:${copy}`]);
    expect(readFileSync(path.join(copy, 'manifest.json')).equals(image.manifest.bytes)).toBe(true);
    for (const { descriptor, bytes } of image.layers) {
      expect(readFileSync(path.join(copy, digestHex(descriptor.digest))).equals(bytes)).toBe(true);
    }
  });

  it('writes a layout we read', async () => {
    const image = await smallImage();
    await putImage(openLayoutTarget(at('v1')), image);
    const copy = path.join(folder, 'copy');
    execFileSync('skopeo', ['copy', '--quiet', `oci:${file('.')}:v1`, `oci:${copy}:other:tag`]);
    const source = openLayoutImage({ transport: 'oci', path: copy, tag: 'other:tag' });
    expect((await source.resolve()).descriptor).toEqual(image.manifest.descriptor);
  });
});
