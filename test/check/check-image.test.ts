import { cp, readdir, truncate } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type CheckReport, checkImage } from '../../src/check/check-image.ts';
import { fsverityDigest } from '../../src/digest/merkle.ts';
import { annotation } from '../../src/image/annotations.ts';
import { packBootstrap } from '../../src/image/bootstrap-layer.ts';
import { type OpenImage, openImage } from '../../src/image/open-image.ts';
import { openLayoutTarget } from '../../src/layout/layout-target.ts';
import { describeBytes, writeManifest } from '../../src/oci/canonical-json.ts';
import { digestFromBytes } from '../../src/oci/digest.ts';
import { mediaType } from '../../src/oci/media-types.ts';
import { blobFile, convertInto, flipBit, layoutImage, richImage } from '../support/converted.ts';
import type { TarMember } from '../support/image.ts';
import { makeTemporaryDirectory, removeTemporaryDirectory } from '../support/temporary.ts';

const root = makeTemporaryDirectory();
afterAll(() => removeTemporaryDirectory(root));

let count = 0;
let layout = '';

async function check(source?: string): Promise<CheckReport> {
  return checkImage({
    image: layoutImage(layout, 'app-sluice'),
    source: source === undefined ? undefined : layoutImage(layout, source),
    workDirectory: path.join(root, 'work'),
  });
}

const template = path.join(root, 'template', 'oci');
beforeAll(async () => convertInto(template, 'app', await richImage()));

beforeEach(async () => {
  layout = path.join(root, String(count++), 'oci');
  await cp(template, layout, { recursive: true });
});

describe('checkImage() of a good image', () => {
  it('finds nothing, and says what it looked at', async () => {
    const report = await check('app');
    expect(report.problems).toEqual([]);
    expect(report).toMatchObject({ problemCount: 0, blobs: 2, source: { isRecorded: true } });
    expect(report.chunks).toBeGreaterThan(5);
    expect(report.files).toBeGreaterThan(5);
  });

  it('leaves nothing in its work directory', async () => {
    await check('app');
    expect(await readdir(path.join(root, 'work'))).toEqual([]);
  });
});

describe('checkImage() of a damaged image', () => {
  it('names blob, chunk, offsets and files of every damaged chunk', async () => {
    const { blobs, bootstrap } = await openImage(layoutImage(layout, 'app-sluice'));
    const { chunks } = bootstrap.devices[0]!;
    const damaged = [1, chunks.count - 1];
    for (const chunk of damaged) {
      await flipBit(
        blobFile(layout, blobs[0]!.digest),
        chunks.compressedOffset(chunk) + chunks.compressedLength(chunk) - 1,
      );
    }
    const { problems } = await check();
    const found = problems.filter(({ code }) => code === 'SLUICE_CHUNK_DIGEST_MISMATCH');
    expect(found.map(({ chunk }) => chunk)).toEqual(damaged);
    expect(found[0]).toMatchObject({
      blob: blobs[0]!.digest,
      compressedOffset: chunks.compressedOffset(1),
      uncompressedOffset: chunks.uncompressedOffset(1),
    });
    expect(found.flatMap(({ paths }) => paths)).toContain('/var/data');
    // The upper layer's file has the same content, and lies in the same chunks.
    expect(found.flatMap(({ paths }) => paths)).toContain('/replaced/inside');
    expect(problems.map(({ code }) => code)).toContain('SLUICE_DIGEST_MISMATCH');
  });

  it('finds damage in a metadata frame, and no bad chunk', async () => {
    const { blobs } = await openImage(layoutImage(layout, 'app-sluice'));
    await flipBit(blobFile(layout, blobs[1]!.digest), -200);
    const { problems } = await check();
    expect(problems).toMatchObject([{ code: 'SLUICE_DIGEST_MISMATCH', blob: blobs[1]!.digest }]);
  });

  it('finds a blob that ends early, and every chunk that is missing', async () => {
    const { blobs, bootstrap } = await openImage(layoutImage(layout, 'app-sluice'));
    const { chunks } = bootstrap.devices[0]!;
    await truncate(blobFile(layout, blobs[0]!.digest), chunks.compressedOffset(2));
    const { problems } = await check();
    expect(problems[0]).toMatchObject({ code: 'SLUICE_SIZE_MISMATCH', blob: blobs[0]!.digest });
    expect(problems.slice(1).map(({ chunk }) => chunk)).toEqual(
      Array.from({ length: chunks.count - 2 }, (_, i) => i + 2),
    );
  });

  it('finds damage in the bootstrap layer, and still reads the blobs', async () => {
    const { bootstrapLayer, blobs } = await openImage(layoutImage(layout, 'app-sluice'));
    await flipBit(blobFile(layout, bootstrapLayer.digest), Math.floor(bootstrapLayer.size / 2));
    await flipBit(blobFile(layout, blobs[0]!.digest), 100);
    const report = await check();
    expect(report.root).toBeUndefined();
    expect(report.problems).toHaveLength(2);
    expect(report.problems[1]).toMatchObject({ code: 'SLUICE_DIGEST_MISMATCH', blob: blobs[0]!.digest });
  });

  it('finds damage in the manifest and in the config', async () => {
    const { raw, manifest } = await openImage(layoutImage(layout, 'app-sluice'));
    await flipBit(blobFile(layout, manifest.config.digest), 30);
    expect((await check()).problems).toMatchObject([{ code: 'SLUICE_DIGEST_MISMATCH' }]);
    await flipBit(blobFile(layout, raw.descriptor.digest), 30);
    expect((await check()).problems).toMatchObject([{ code: 'SLUICE_DIGEST_MISMATCH' }]);
  });

  it('finds an fs-verity digest that is not that of its device', async () => {
    const image = await openImage(layoutImage(layout, 'app-sluice'));
    const bootstrap = image.bootstrap.share().bytes.slice();
    const at = Buffer.from(bootstrap.buffer).indexOf(image.bootstrap.devices[0]!.verityDigest);
    bootstrap[at]! ^= 1;
    await replaceBootstrap(image, bootstrap);
    const { problems } = await check();
    const blob = image.blobs[0]!.digest;
    expect(problems).toContainEqual(expect.objectContaining({ code: 'SLUICE_MERKLE_MISMATCH', blob }));
    expect(problems).toContainEqual(expect.objectContaining({ code: 'SLUICE_BLOB_INVALID', blob }));
  });

  /** Puts another bootstrap into the image, as its maker could: with a Merkle root and digests that are right. */
  async function replaceBootstrap({ manifest }: OpenImage, bootstrap: Uint8Array): Promise<void> {
    const target = openLayoutTarget({ transport: 'oci', path: layout, tag: 'app-sluice' });
    const { layer } = packBootstrap(bootstrap);
    const descriptor = { ...manifest.layers.at(-1)!, ...describeBytes(mediaType.ociLayerZstd, layer) };
    await target.putBlob(descriptor, async function* once() {
      yield layer;
    });
    const { mediaType: type, config, layers, annotations } = manifest;
    const root = digestFromBytes(fsverityDigest(bootstrap));
    const document = {
      config,
      layers: [...layers.slice(0, -1), descriptor],
      annotations: { ...annotations, [annotation.root]: root },
    };
    await target.putManifest(writeManifest(type, document), true);
  }

  it.each([0.05, 0.3, 0.6, 0.95])('finds a flipped bit %f into any blob', async (where) => {
    const { manifest } = await openImage(layoutImage(layout, 'app-sluice'));
    for (const { digest, size } of [...manifest.layers, manifest.config]) {
      await flipBit(blobFile(layout, digest), Math.floor(size * where));
      expect((await check()).problemCount, `${digest}`).toBeGreaterThan(0);
      await flipBit(blobFile(layout, digest), Math.floor(size * where));
    }
    expect((await check()).problemCount).toBe(0);
  });
});

describe('checkImage() with a source', () => {
  const changes: [string, Partial<TarMember>, string][] = [
    ['a changed byte', { content: 'same lengtH' }, 'content'],
    ['a size', { content: 'another length' }, 'size'],
    ['a mode', { mode: 0o600 }, 'mode'],
    ['an owner', { uid: 7 }, 'uid'],
    ['a nanosecond', { pax: { mtime: '1700000000.000000008' } }, 'mtime'],
    ['an xattr', { pax: { mtime: '1700000000.000000007', 'SCHILY.xattr.user.x': 'y' } }, 'xattrs'],
    ['a kind', { type: 'directory', content: '' }, 'kind'],
    ['a missing file', { name: '.wh.changed' }, 'presence'],
    ['a copy in place of a link', { name: 'etc/again', content: 'hello\n' }, 'hard link'],
  ];
  it.each(changes)('finds %s', async (_, change, what) => {
    await convertInto(layout, 'other', await richImage(change));
    const report = await check('other');
    expect(report.problems.every(({ code }) => code === 'SLUICE_SOURCE_DIFFERS')).toBe(true);
    expect(report.problems.map((problem) => problem.what)).toContain(what);
    expect(report.source?.isRecorded).toBe(false);
  });

  it('refuses a source that is converted itself', async () => {
    await expect(check('app-sluice')).rejects.toMatchObject({ code: 'SLUICE_OPTION_INVALID' });
  });

  it('refuses to check what is no converted image', async () => {
    const image = layoutImage(layout, 'app');
    await expect(checkImage({ image, workDirectory: root })).rejects.toMatchObject({
      code: 'SLUICE_MANIFEST_UNSUPPORTED',
    });
  });
});
