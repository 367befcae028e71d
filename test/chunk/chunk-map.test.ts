import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ChunkMap, SERIALISED_CHUNK_SIZE, type StoredChunk } from '../../src/chunk/chunk-map.ts';
import { FormatError } from '../../src/errors.ts';
import { content } from '../support/content.ts';

const anyChunks = fc
  .array(fc.tuple(fc.integer({ min: 1, max: 4096 }), fc.double({ min: 0, max: 1, noNaN: true })), { maxLength: 200 })
  .map((list): StoredChunk[] =>
    list.map(([pages, share], i) => ({
      length: pages * 4096,
      compressedLength: 1 + Math.floor(share * (pages * 4096 + 1023)),
      digest: content(i, 32),
    })),
  );

function chunksOf(map: ChunkMap): StoredChunk[] {
  return Array.from({ length: map.count }, (_, i) => ({
    length: map.uncompressedLength(i),
    compressedLength: map.compressedLength(i),
    digest: map.digest(i).slice(),
  }));
}

const plain = (chunks: readonly StoredChunk[]): unknown[] =>
  chunks.map((chunk) => ({ ...chunk, digest: Buffer.from(chunk.digest).toString('hex') }));

describe('ChunkMap', () => {
  it('keeps chunks through serialise(), parse() and another thread', () => {
    fc.assert(
      fc.property(anyChunks, (chunks) => {
        const map = ChunkMap.fromChunks(chunks);
        const bytes = map.serialise();
        expect(bytes.length).toBe(chunks.length * SERIALISED_CHUNK_SIZE);
        for (const copy of [map, ChunkMap.parse(bytes), new ChunkMap(map.buffer)]) {
          expect(plain(chunksOf(copy))).toEqual(plain(chunks));
        }
      }),
    );
  });

  it('adds lengths up to offsets', () => {
    const digest = content(0, 32);
    const map = ChunkMap.fromChunks([
      { length: 8192, compressedLength: 10, digest },
      { length: 4096, compressedLength: 5000, digest },
    ]);
    expect(map.deviceSize).toBe(12288);
    expect(map.compressedSize).toBe(5010);
    expect([map.uncompressedOffset(0), map.uncompressedOffset(1)]).toEqual([0, 8192]);
    expect([map.compressedOffset(0), map.compressedOffset(1)]).toEqual([0, 10]);
    expect(() => map.uncompressedLength(2)).toThrow(RangeError);
    expect(() => map.digest(2)).toThrow(RangeError);
  });

  it('find() agrees with a walk over all chunks', () => {
    fc.assert(
      fc.property(anyChunks, fc.array(fc.double({ min: -0.1, max: 1.1, noNaN: true })), (chunks, places) => {
        const map = ChunkMap.fromChunks(chunks);
        const borders = chunksOf(map).flatMap((_, i) => [map.uncompressedOffset(i), map.uncompressedOffset(i) - 1]);
        for (const offset of [...borders, map.deviceSize, ...places.map((at) => Math.floor(at * map.deviceSize))]) {
          const expected = chunks.findIndex(
            (_, i) =>
              offset >= map.uncompressedOffset(i) && offset < map.uncompressedOffset(i) + map.uncompressedLength(i),
          );
          expect(map.find(offset)).toBe(expected);
        }
      }),
    );
  });

  it('is empty for a layer that stores nothing', () => {
    const map = ChunkMap.parse(new Uint8Array());
    expect([map.count, map.deviceSize, map.compressedSize, map.find(0)]).toEqual([0, 0, 0, -1]);
  });

  it.each([
    ['a length of no pages', { length: 0, compressedLength: 1 }],
    ['a length within a page', { length: 5000, compressedLength: 1 }],
    ['a chunk above the maximum', { length: 2 ** 24 + 4096, compressedLength: 1 }],
    ['an empty frame', { length: 4096, compressedLength: 0 }],
    ['a frame much longer than its chunk', { length: 4096, compressedLength: 4096 + 1025 }],
  ])('refuses %s', (_, chunk) => {
    expect(() => ChunkMap.fromChunks([{ ...chunk, digest: content(0, 32) }])).toThrow(FormatError);
  });

  it.each([
    ['half a chunk', new Uint8Array(SERIALISED_CHUNK_SIZE + 19)],
    ['zeros', new Uint8Array(SERIALISED_CHUNK_SIZE)],
    ['ones', new Uint8Array(SERIALISED_CHUNK_SIZE).fill(0xff)],
    ['more chunks than a layer may have', new Uint8Array(SERIALISED_CHUNK_SIZE * (2 ** 22 + 1))],
  ])('parse() refuses %s', (_, bytes) => {
    expect(() => ChunkMap.parse(bytes)).toThrow(expect.objectContaining({ code: 'SLUICE_CHUNK_MAP_INVALID' }));
  });
});
