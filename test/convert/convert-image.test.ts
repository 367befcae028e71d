import { execFileSync } from 'node:child_process';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { byteStringFromText } from '../../src/byte-string.ts';
import { checkImage } from '../../src/check/check-image.ts';
import { openImage } from '../../src/image/open-image.ts';
import { canonicalJson, describeBytes, writeManifest } from '../../src/oci/canonical-json.ts';
import { digestHex } from '../../src/oci/digest.ts';
import { mediaType } from '../../src/oci/media-types.ts';
import type { Profile } from '../../src/profile/profile.ts';
import { openSource, openTarget } from '../../src/transport/open.ts';
import { content } from '../support/content.ts';
import { convertLayers, convertReference, workDirectory } from '../support/convert-layers.ts';
import { type MemoryImage, memoryImage, putImage, type TarMember, tarBytes } from '../support/image.ts';
import { TestRegistry } from '../support/registry/test-registry.ts';
import { withTemporaryDirectory } from '../support/temporary.ts';
import { has } from '../support/tools.ts';

/** Layers that share files, chunks and names: what is converted depends on what lies below. */
const members = (layer: number): TarMember[] => [
  { name: `own-${layer}`, content: content(`own ${layer}`, 300_000) },
  { name: 'common', content: content('common', 200_000) },
  { name: 'changed', content: content(`changed ${layer}`, 50_000) },
];

async function threeLayers(): Promise<MemoryImage> {
  return memoryImage(await Promise.all([0, 1, 2].map((layer) => tarBytes(members(layer)))), { compression: 'none' });
}

/** The image with its middle layer replaced by these bytes; the diff_id stays that of the layer that was there. */
function withMiddle(image: MemoryImage, bytes: Uint8Array, type: string = mediaType.ociLayer): MemoryImage {
  const [lower, , upper] = image.layers;
  const layers = [lower!, { descriptor: describeBytes(type, bytes), bytes }, upper!];
  const descriptors = layers.map(({ descriptor }) => descriptor);
  return {
    config: image.config,
    layers,
    manifest: writeManifest(mediaType.ociManifest, { config: image.config.descriptor, layers: descriptors }),
  };
}

/** The same with a diff_id that fits the tar. */
async function withMiddleTar(image: MemoryImage, tar: Uint8Array): Promise<MemoryImage> {
  const [lower, , upper] = image.layers;
  return memoryImage([lower!.bytes, tar, upper!.bytes], { compression: 'none' });
}

const damages: readonly (readonly [string, string, (image: MemoryImage) => MemoryImage | Promise<MemoryImage>])[] = [
  ['is not the tar of its diff_id', 'SLUICE_DIGEST_MISMATCH', (image) => withMiddle(image, image.layers[0]!.bytes)],
  [
    'is a gzip stream that breaks off',
    'SLUICE_GZIP_INVALID',
    (image) => withMiddle(image, gzipSync(image.layers[1]!.bytes, { level: 1 }).subarray(0, 100_000)),
  ],
  ['is no tar', 'SLUICE_TAR_INVALID', (image) => withMiddleTar(image, Buffer.alloc(5000, 'no tar'))],
  [
    'links to what does not exist',
    'SLUICE_TREE_INVALID',
    async (image) =>
      withMiddleTar(image, await tarBytes([{ name: 'hard', type: 'link', linkname: 'nowhere' }, ...members(1)])),
  ],
];

/** The blobs of an image as files, and what its bootstrap says of each device. */
async function devicesOf(reference: string, directory: string): Promise<{ file: string; verityDigest: string }[]> {
  const source = openSource(reference, {});
  try {
    const { bootstrap, blobs } = await openImage(source);
    return await Promise.all(
      blobs.map(async (descriptor, i) => {
        const file = path.join(directory, `device-${i}`);
        const { path: blob } = (await source.localBlob(descriptor))!;
        await writeFile(file, execFileSync('zstd', ['-dcq', blob], { maxBuffer: 1 << 30 }));
        return { file, verityDigest: Buffer.from(bootstrap.devices[i]!.verityDigest).toString('hex') };
      }),
    );
  } finally {
    await source.close();
  }
}

describe('convertImage()', () => {
  it('puts the files of a trace first, the same way each time, and nothing of what is known is lost', async () => {
    const paths = ['/own-0', '/own-2', '/changed', '/missing'].map(byteStringFromText);
    const reads = [2, 1, 0, 3].map((file) => ({ file, page: 3, pages: 1 }));
    const root = describeBytes('', Buffer.from('root')).digest;
    const trace: Profile = { name: 'default', root, runs: 1, pageExact: true, files: paths, reads };
    const convert = (directory: string, workers: number) =>
      threeLayers().then((image) => convertLayers(image, directory, { parameters: { trace }, workers }));
    await withTemporaryDirectory(async (directory) => {
      const plain = await convertLayers(await threeLayers(), path.join(directory, 'plain'));
      const traced = await convert(path.join(directory, 'one'), 1);
      const again = await convert(path.join(directory, 'four'), 4);
      expect(again.summary.manifest).toBe(traced.summary.manifest);
      expect(traced.summary.repeatedSize).toBe(plain.summary.repeatedSize);
      expect(traced.summary.layers.every(({ blob }, i) => blob !== plain.summary.layers[i]?.blob)).toBe(true);
      const source = openSource(traced.reference, {});
      const { erofs } = (await openImage(source)).bootstrap;
      const first = (name: string) => erofs.mapRange(erofs.lookup(erofs.rootNid, byteStringFromText(name))!, 0, 4096);
      expect(first('changed')).toMatchObject([{ device: 2, deviceOffset: 0 }]);
      expect(first('own-2')).toMatchObject([{ device: 2, deviceOffset: 53_248 }]);
      expect(first('own-0')).toMatchObject([{ device: 0, deviceOffset: 0 }]);
      const report = await checkImage({ image: source, workDirectory: path.join(directory, 'check') });
      await source.close();
      expect(report.problems).toEqual([]);
    });
  });

  it.skipIf(!has('fsverity') || !has('zstd'))('gives each device the digest that fsverity computes', async () => {
    await withTemporaryDirectory(async (directory) => {
      const image = await memoryImage([await tarBytes(members(0)), await tarBytes([]), await tarBytes(members(1))]);
      const converted = await convertLayers(image, directory);
      const devices = await devicesOf(converted.reference, directory);
      for (const { file, verityDigest } of devices) {
        const options = ['--hash-alg=sha256', '--block-size=4096', '--compact'];
        expect(verityDigest).toBe(execFileSync('fsverity', ['digest', ...options, file], { encoding: 'utf8' }).trim());
      }
      const again = await convertLayers(image, directory);
      expect(again.summary.layers.map(({ from }) => from)).toEqual(['machine', 'machine', 'machine']);
      expect(again.summary.root).toBe(converted.summary.root);
    });
  });

  describe.each([false, true])('with dropHidden %s', (dropHidden) => {
    it.each(damages)('fails, and does not wait forever, when the middle layer %s', (_, code, damage) =>
      withTemporaryDirectory(async (directory) => {
        const image = await damage(await threeLayers());
        await expect(convertLayers(image, directory, { parameters: { dropHidden } })).rejects.toMatchObject({ code });
        expect(await readdir(path.join(workDirectory(directory), 'layers', 'tmp'))).toEqual([]);
      }),
    );

    it('fails when a stored layer has rotted', () =>
      withTemporaryDirectory(async (directory) => {
        const image = await threeLayers();
        const source = `oci:${path.join(directory, 'source')}:original`;
        await putImage(openTarget(source, {}), image);
        const { digest } = image.layers[1]!.descriptor;
        const bytes = image.layers[1]!.bytes.slice();
        bytes[bytes.length >> 1]! ^= 4;
        await writeFile(path.join(directory, 'source', 'blobs', 'sha256', digestHex(digest)), bytes);
        await expect(convertReference(source, directory, { parameters: { dropHidden } })).rejects.toMatchObject({
          code: 'SLUICE_DIGEST_MISMATCH',
        });
      }));

    it.each([0, 1, 2])('goes on where an interruption left off, layer %s alone being there', (kept) =>
      withTemporaryDirectory(async (directory) => {
        const image = await threeLayers();
        const first = await convertLayers(image, directory, { parameters: { dropHidden } });
        await keepLayers(directory, [first.summary.layers[kept]!.blob]);
        await rm(path.join(directory, 'layout', 'index.json'));
        const again = await convertLayers(image, directory, { parameters: { dropHidden } });
        expect(again.summary.manifest).toBe(first.summary.manifest);
        const from = [0, 1, 2].map((layer) => (layer === kept ? 'machine' : 'converted'));
        expect(again.summary.layers.map((layer) => layer.from)).toEqual(from);
      }),
    );
  });

  it.each([
    ['metadata', 'a bit is wrong', (bytes: Buffer) => flipped(bytes)],
    ['metadata', 'it is cut short', (bytes: Buffer) => bytes.subarray(0, -1)],
    ['record.json', 'it is empty', () => Buffer.alloc(0)],
    [
      'record.json',
      'the size is no number',
      (bytes: Buffer) => Buffer.from(`${bytes}`.replace(/"size":\d+/, '"size":{}')),
    ],
    ['record.json', 'the digest is none', (bytes: Buffer) => Buffer.from(`${bytes}`.replace('sha256:', 'sha1:'))],
  ])('converts a layer anew whose kept %s is damaged: %s', (file, _, damage) =>
    withTemporaryDirectory(async (directory) => {
      const image = await threeLayers();
      const first = await convertLayers(image, directory);
      const layers = path.join(workDirectory(directory), 'layers');
      const [key] = (await readdir(layers)).filter((name) => name !== 'tmp');
      const damaged = path.join(layers, key!, file);
      await writeFile(damaged, damage(await readFile(damaged)));
      await rm(path.join(directory, 'layout', 'index.json'));
      const again = await convertLayers(image, directory);
      expect(again.summary.manifest).toBe(first.summary.manifest);
      expect(again.summary.layers.map(({ from }) => from).sort()).toEqual(['converted', 'machine', 'machine']);
    }),
  );

  it('lets go of a download that has rotted', () =>
    withTemporaryDirectory(async (directory) => {
      const registry = await TestRegistry.start();
      try {
        const source = `docker://${registry.host}/image:1`;
        const image = await threeLayers();
        await putImage(openTarget(source, {}), image);
        // A first attempt that finds nothing to read leaves its downloads.
        registry.faults.add({
          on: 'blob',
          path: new RegExp(image.layers[2]!.descriptor.digest),
          fault: { kind: 'status', status: 404 },
        });
        await expect(convertReference(source, directory)).rejects.toMatchObject({ code: 'SLUICE_BLOB_NOT_FOUND' });
        const downloads = path.join(workDirectory(directory), 'downloads', digestHex(image.manifest.descriptor.digest));
        const download = path.join(downloads, digestHex(image.layers[0]!.descriptor.digest));
        await writeFile(download, flipped(await readFile(download)));
        await rm(path.join(workDirectory(directory), 'layers'), { recursive: true });
        await expect(convertReference(source, directory)).rejects.toMatchObject({ code: 'SLUICE_DIGEST_MISMATCH' });
        await convertReference(source, directory);
      } finally {
        await registry.close();
      }
    }));

  it('gives the same image whatever the number of workers', () =>
    withTemporaryDirectory(async (directory) => {
      const image = await threeLayers();
      const manifests = [1, 2, 5].map(async (workers) => {
        const { summary } = await convertLayers(image, path.join(directory, `${workers}`), { workers });
        return summary.manifest;
      });
      expect(new Set(await Promise.all(manifests)).size).toBe(1);
    }));

  it('sums up what it did', () =>
    withTemporaryDirectory(async (directory) => {
      const image = await threeLayers();
      const { summary } = await convertLayers(image, directory);
      expect(summary).toMatchObject({
        files: 5,
        inodes: 6,
        sourceSize: image.layers.reduce((sum, { bytes }) => sum + bytes.length, 0),
        repeatedSize: 400_000,
        presentSize: 0,
      });
      expect(summary.hiddenSize, 'two files of 50,000 random bytes').toBeGreaterThan(100_000);
      expect(summary.hiddenSize).toBeLessThan(120_000);
      expect(summary.chunks).toBe(summary.layers.reduce((sum, { chunks }) => sum + chunks, 0));
      const dropped = await convertLayers(image, path.join(directory, 'dropped'), { parameters: { dropHidden: true } });
      expect(dropped.summary.hiddenSize).toBe(0);
      expect(summary.targetSize - dropped.summary.targetSize).toBeGreaterThan(100_000);
    }));

  it('refuses an image whose config and manifest disagree about the layers', () =>
    withTemporaryDirectory(async (directory) => {
      const { layers } = await threeLayers();
      const bytes = canonicalJson({ architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: [] } });
      const config = { descriptor: describeBytes(mediaType.ociConfig, bytes), bytes };
      const manifest = writeManifest(mediaType.ociManifest, {
        config: config.descriptor,
        layers: layers.map(({ descriptor }) => descriptor),
      });
      await expect(convertLayers({ config, layers, manifest }, directory)).rejects.toMatchObject({
        code: 'SLUICE_MANIFEST_INVALID',
      });
    }));

  it('refuses an image that is converted already', () =>
    withTemporaryDirectory(async (directory) => {
      const { reference } = await convertLayers(await threeLayers(), directory);
      const target = `oci:${path.join(directory, 'twice')}:twice`;
      await expect(convertReference(reference, directory, { target })).rejects.toMatchObject({
        code: 'SLUICE_OPTION_INVALID',
      });
    }));
});

/** Forgets every finished layer but these. @param blobs - digests of their blobs */
async function keepLayers(directory: string, blobs: readonly string[]): Promise<void> {
  const layers = path.join(workDirectory(directory), 'layers');
  for (const key of await readdir(layers)) {
    if (key === 'tmp') continue;
    const { blob } = JSON.parse(await readFile(path.join(layers, key, 'record.json'), 'utf8')) as { blob: string };
    if (!blobs.includes(blob)) await rm(path.join(layers, key), { recursive: true });
  }
}

function flipped(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes);
  const at = copy.length >> 1;
  copy[at] = (copy[at] ?? 0) ^ 16;
  return copy;
}
