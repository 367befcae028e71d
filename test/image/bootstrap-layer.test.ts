import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { fetchBootstrap, packBootstrap } from '../../src/image/bootstrap-layer.ts';
import { describeBytes } from '../../src/oci/canonical-json.ts';
import { compress, loadZstd } from '../../src/zstd/codec.ts';
import { rleFrame } from '../../src/zstd/frame.ts';
import { content } from '../support/content.ts';
import { streamOf } from '../support/image.ts';
import { run } from '../support/process.ts';
import { withTemporaryDirectory } from '../support/temporary.ts';
import { has } from '../support/tools.ts';
import { patched, tarEntry, writeTar } from '../tar/archives.ts';

// Before the tables below are built.
await loadZstd();

const fetchFrom = (layer: Uint8Array, promised: Uint8Array = layer): Promise<Uint8Array> =>
  fetchBootstrap({ readBlob: () => streamOf(layer, 10_000) }, describeBytes('', promised));

describe('packBootstrap() and fetchBootstrap()', () => {
  it.each([0, 1, 511, 512, 4096, 100_000])('give back a bootstrap of %s bytes, on shared memory', async (length) => {
    const bootstrap = content('bootstrap', length);
    const fetched = await fetchFrom(packBootstrap(bootstrap).layer);
    expect(Buffer.compare(fetched, bootstrap)).toBe(0);
    expect(fetched.buffer).toBeInstanceOf(SharedArrayBuffer);
  });

  it.skipIf(!has('tar', 'zstd'))('make a layer that tar(1) reads', () =>
    withTemporaryDirectory(async (directory) => {
      const file = path.join(directory, 'layer');
      await writeFile(file, packBootstrap(content('bootstrap', 5000)).layer);
      expect(await run('tar', ['--zstd', '-tf', file])).toBe('bootstrap.erofs\n');
    }),
  );
});

describe('fetchBootstrap()', () => {
  const member = (name: string, length: number) => ({
    entry: tarEntry(name, 'file', { size: length }),
    content: Buffer.from(content(name, length)),
  });
  const pack = (tar: Uint8Array): Uint8Array => compress(tar, 1);

  it.each([
    ['an empty tar', pack(writeTar([])), 'SLUICE_BOOTSTRAP_INVALID'],
    ['two files', pack(writeTar([member('a', 10), member('b', 10)])), 'SLUICE_BOOTSTRAP_INVALID'],
    [
      'a folder',
      pack(writeTar([{ entry: tarEntry('a/', 'directory'), content: Buffer.alloc(0) }])),
      'SLUICE_BOOTSTRAP_INVALID',
    ],
    [
      'a sparse file',
      pack(writeTar([{ entry: tarEntry('a', 'file', { size: 9, sparse: [] }), content: Buffer.alloc(0) }])),
      'SLUICE_BOOTSTRAP_INVALID',
    ],
    [
      'a file of 8 GB, it says',
      pack(patched(writeTar([member('a', 0)]).subarray(0, 512), [124, '77777777777\0'])),
      'SLUICE_BOOTSTRAP_INVALID',
    ],
    ['a file that breaks off', pack(writeTar([member('a', 5000)]).subarray(0, 2048)), 'SLUICE_TAR_INVALID'],
    ['no tar', pack(content('no tar', 1024)), 'SLUICE_TAR_INVALID'],
    ['no zstd', content('no zstd', 1024), 'SLUICE_ZSTD_INVALID'],
  ])('refuses %s', async (_, layer, code) => {
    await expect(fetchFrom(layer)).rejects.toMatchObject({ code });
  });

  it('does not unfold what follows the bootstrap', async () => {
    // 100 GB of zeros in 3 MB.
    const zeros = rleFrame(0, 64 << 20);
    const layer = Buffer.concat([pack(writeTar([member('a', 10)])), ...Array.from({ length: 1500 }, () => zeros)]);
    await expect(fetchFrom(layer)).rejects.toMatchObject({ code: 'SLUICE_BOOTSTRAP_INVALID' });
  }, 10_000);

  it('refuses bytes that are not those of the descriptor', async () => {
    const { layer } = packBootstrap(content('bootstrap', 1000));
    await expect(fetchFrom(layer, layer.subarray(1))).rejects.toMatchObject({ code: 'SLUICE_SIZE_MISMATCH' });
    const other = layer.slice();
    other[other.length - 1]! ^= 1;
    await expect(fetchFrom(layer, other)).rejects.toMatchObject({ code: 'SLUICE_DIGEST_MISMATCH' });
  });
});
