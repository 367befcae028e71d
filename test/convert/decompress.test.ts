import { gzipSync } from 'node:zlib';
import { beforeAll, describe, expect, it } from 'vitest';
import { decompressLayer } from '../../src/convert/decompress.ts';
import { RegistryError } from '../../src/errors.ts';
import { compress, loadZstd } from '../../src/zstd/codec.ts';
import { skippableFrame } from '../../src/zstd/frame.ts';
import { content } from '../support/content.ts';
import { collect, streamOf } from '../support/image.ts';

beforeAll(() => loadZstd());

const text = Buffer.alloc(700_000, 'some text, over and over\n');
const noise = content('noise', 10_000);
const both = Buffer.concat([text, noise]);

describe('decompressLayer()', () => {
  const streams: readonly (readonly [string, () => Uint8Array, Uint8Array])[] = [
    ['plain bytes', () => both, both],
    ['one byte', () => Buffer.from('x'), Buffer.from('x')],
    ['nothing', () => Buffer.alloc(0), Buffer.alloc(0)],
    ['gzip', () => gzipSync(both), both],
    ['gzip of two members', () => Buffer.concat([gzipSync(text), gzipSync(noise)]), both],
    ['gzip of nothing', () => gzipSync(Buffer.alloc(0)), Buffer.alloc(0)],
    ['zstd', () => compress(both, 3), both],
    ['zstd of two frames', () => Buffer.concat([compress(text, 3), compress(noise, 3)]), both],
    ['zstd behind a skippable frame', () => Buffer.concat([skippableFrame(noise), compress(both, 3)]), both],
  ];
  it.each(streams)('unfolds %s, in pieces of any size', async (_, compressed, expected) => {
    for (const piece of [1, 3, 64 * 1024]) {
      if (piece === 1 && compressed().length > 100_000) continue;
      expect((await collect(decompressLayer(streamOf(compressed(), piece)))).equals(expected)).toBe(true);
    }
  });

  it.each([
    ['gzip that breaks off', gzipSync(noise).subarray(0, 5000), 'SLUICE_GZIP_INVALID'],
    ['gzip that breaks off within its header', gzipSync(noise).subarray(0, 5), 'SLUICE_GZIP_INVALID'],
    [
      'gzip whose checksum is wrong',
      Buffer.concat([gzipSync(noise).subarray(0, -8), Buffer.alloc(8)]),
      'SLUICE_GZIP_INVALID',
    ],
    ['zstd that breaks off', Buffer.from('28b52ffd04', 'hex'), 'SLUICE_ZSTD_INVALID'],
  ])('refuses %s', async (_, compressed, code) => {
    await expect(collect(decompressLayer(streamOf(compressed)))).rejects.toMatchObject({ code });
  });

  it.each([
    ['gzip', () => gzipSync(noise)],
    ['zstd', () => compress(noise, 3)],
    ['plain', () => noise],
  ])("passes on a source's failure as it is: %s", async (_, compressed) => {
    const failure = new RegistryError('SLUICE_REGISTRY_TIMEOUT', 'Cannot go on');
    async function* failing(): AsyncGenerator<Uint8Array> {
      yield compressed().subarray(0, 5000);
      throw failure;
    }
    await expect(collect(decompressLayer(failing()))).rejects.toBe(failure);
  });

  it.each([
    ['gzip', () => gzipSync(both)],
    ['plain', () => both],
  ])('closes its source when nobody wants more: %s', async (_, compressed) => {
    let closed = false;
    async function* source(): AsyncGenerator<Uint8Array> {
      try {
        yield* streamOf(compressed(), 1000);
      } finally {
        closed = true;
      }
    }
    for await (const _bytes of decompressLayer(source())) break;
    await expect.poll(() => closed).toBe(true);
  });
});
