import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { byteStringFromText } from '../../src/byte-string.ts';
import { HotPages } from '../../src/hot/hot-pages.ts';
import { streamHot } from '../../src/hot/stream.ts';
import { findProfiles } from '../../src/image/find-profiles.ts';
import { openChunks } from '../../src/image/open-chunks.ts';
import { type OpenImage, openImage } from '../../src/image/open-image.ts';
import type { ImageSource } from '../../src/oci/image.ts';
import { optimizeImage } from '../../src/optimize/optimize-image.ts';
import type { Profile } from '../../src/profile/profile.ts';
import { resolveProfile } from '../../src/profile/resolve-profile.ts';
import { openReferrerTarget, openSource } from '../../src/transport/open.ts';
import { loadZstd } from '../../src/zstd/codec.ts';
import { content } from '../support/content.ts';
import { convertLayers } from '../support/convert-layers.ts';
import { memoryImage, type TarMember, tarBytes } from '../support/image.ts';
import { runBytes } from '../support/process.ts';
import { makeTemporaryDirectory, removeTemporaryDirectory } from '../support/temporary.ts';
import { has } from '../support/tools.ts';

const page = 4096;

/** Two layers, so two devices. */
async function twoLayers(): Promise<ReturnType<typeof memoryImage>> {
  const file = (name: string, size: number): TarMember => ({ name, content: content(name, size) });
  const lower = await tarBytes([file('large', 3_000_000), file('small', 10_000), { name: 'tiny', content: 'tiny' }]);
  return memoryImage([lower, await tarBytes([file('upper', 500_000)])]);
}

function profileOf(name: string, reads: readonly (readonly [file: string, first: number, pages: number])[]): Profile {
  const files = [...new Set(reads.map(([file]) => file))];
  return {
    name,
    root: `sha256:${'0'.repeat(64)}` as Profile['root'],
    runs: 1,
    pageExact: true,
    files: files.map((file) => byteStringFromText(`/${file}`)),
    reads: reads.map(([file, first, pages]) => ({ file: files.indexOf(file), page: first, pages })),
  };
}

describe('optimizeImage()', () => {
  let directory: string;
  let reference: string;
  let source: ImageSource;
  let image: OpenImage;
  beforeAll(async () => {
    await loadZstd();
    directory = makeTemporaryDirectory();
    ({ reference } = await convertLayers(await twoLayers(), directory));
    source = openSource(reference, {});
    image = await openImage(source);
  });
  afterAll(async () => {
    await source?.close();
    await removeTemporaryDirectory(directory);
  });

  async function optimize(...profiles: Profile[]) {
    const { chunks, close } = openChunks(source, image);
    const target = openReferrerTarget(reference, {});
    try {
      return await optimizeImage({ image, chunks, place: { source, target }, profiles });
    } finally {
      close();
      await target.close();
    }
  }

  async function hotOf(name: string) {
    const found = await findProfiles(source, image.raw.descriptor.digest);
    return found.find((profile) => profile.name === name)?.hot;
  }

  it('stores exactly the pages of a profile, in the order of the reads, and changes nothing else', async () => {
    const profile = profileOf('default', [
      ['upper', 100, 3],
      ['large', 700, 2],
      ['large', 5, 1],
      ['small', 0, 3],
    ]);
    const [result] = await optimize(profile);
    expect(result).toMatchObject({ name: 'default', pages: 9, bytes: 9 * page, leftOut: 0 });
    const total = image.bootstrap.devices.reduce((sum, { chunks }) => sum + chunks.deviceSize, 0);
    expect(result?.share).toBeCloseTo((9 * page) / total, 10);
    expect((await source.resolve()).descriptor.digest).toBe(image.raw.descriptor.digest);
    const hot = await hotOf('default');
    expect(hot).toMatchObject({ pages: 9, descriptor: { size: result?.compressedBytes } });
  });

  it('stores pages that verify against the image', async () => {
    const profile = profileOf('verified', [
      ['large', 0, 700],
      ['upper', 0, 122],
    ]);
    const [result] = await optimize(profile);
    const hot = await hotOf('verified');
    const pages = new HotPages(hot?.pages ?? 0);
    const devices = image.bootstrap.devices.map(({ chunks, verityDigest }) => ({
      size: chunks.deviceSize,
      verityDigest,
    }));
    await streamHot(
      { source, descriptor: hot!.descriptor, signal: AbortSignal.timeout(10_000) },
      Promise.resolve({ pages, devices }),
    );
    expect(result?.pages).toBe(822);
    const { chunks, close } = openChunks(source, image);
    for (const { device, page: first, pages: count } of resolveProfile(profile, image.bootstrap)) {
      const map = image.bootstrap.devices[device]!.chunks;
      for (let i = first; i < first + count; i++) {
        const chunk = map.find(i * page);
        const start = i * page - map.uncompressedOffset(chunk);
        const expected = (await chunks.read(device, chunk)).subarray(start, start + page);
        expect(Buffer.compare((await pages.read(device, i * page, page)) ?? Buffer.of(), expected)).toBe(0);
      }
    }
    close();
  });

  it.skipIf(!has('zstd'))('stores a plain zstd file', async () => {
    await optimize(profileOf('plain', [['large', 3, 2]]));
    const { descriptor } = (await hotOf('plain'))!;
    const file = (await source.localBlob(descriptor))!.path;
    const large = Buffer.from(content('large', 3_000_000));
    expect((await runBytes('zstd', ['-q', '-d', '-c', file])).equals(large.subarray(3 * page, 5 * page))).toBe(true);
  });

  it('leaves out what the image does not have, and attaches a profile without pages all the same', async () => {
    const reads = [
      ['missing', 0, 100],
      ['large', 100_000, 50],
      ['tiny', 5, 5],
    ] as const;
    const [none, some] = await optimize(profileOf('none', reads), profileOf('some', [...reads, ['large', 1, 1]]));
    expect(none).toMatchObject({ pages: 0, compressedBytes: 0, leftOut: 155 });
    expect(some).toMatchObject({ pages: 1, leftOut: 155 });
    expect(await hotOf('none')).toBeUndefined();
    expect(await hotOf('some')).toMatchObject({ pages: 1 });
  });

  it('cuts a profile of more than a hot blob may hold', async () => {
    const large = await tarBytes([{ name: 'zeros', content: Buffer.alloc(66 << 20, '\x01') }]);
    const converted = await convertLayers(memoryImage([large]), path.join(directory, 'zeros'));
    const huge = openSource(converted.reference, {});
    const target = openReferrerTarget(converted.reference, {});
    const open = await openImage(huge);
    const { chunks, close } = openChunks(huge, open);
    const profiles = [profileOf('all', [['zeros', 0, 1 << 20]])];
    const [result] = await optimizeImage({ image: open, chunks, place: { source: huge, target }, profiles });
    expect(result).toMatchObject({ pages: 16_384, leftOut: (1 << 20) - 16_384 });
    close();
  });

  it('refuses a device that is not what the bootstrap says', async () => {
    const { chunks, close } = openChunks(source, image);
    const devices = image.bootstrap.devices.map((device) => ({ ...device, verityDigest: new Uint8Array(32) }));
    const other = { ...image, bootstrap: Object.assign(Object.create(image.bootstrap), { devices }) };
    const target = openReferrerTarget(reference, {});
    const profiles = [profileOf('default', [['large', 1, 1]])];
    await expect(optimizeImage({ image: other, chunks, place: { source, target }, profiles })).rejects.toMatchObject({
      code: 'SLUICE_MERKLE_MISMATCH',
    });
    close();
  });
});
