import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DigestIndex } from '../../src/cache/digest-index.ts';
import { ChunkMap } from '../../src/chunk/chunk-map.ts';

/** A map whose chunks have the digests that begin with these words. */
function mapOf(words: readonly number[]): ChunkMap {
  const chunks = words.map((word) => {
    const digest = Buffer.alloc(32);
    digest.writeUInt32BE(word);
    return { length: 4096, compressedLength: 100, digest };
  });
  return ChunkMap.fromChunks(chunks);
}

const digestOf = (word: number): Uint8Array => mapOf([word]).digest(0);

describe('DigestIndex', () => {
  it('finds all places of a digest in every device, and no others, whatever is added and removed', () => {
    const word = fc.constantFrom(0, 1, 2, 3, 0x7fff_ffff, 0x7fff_fffe, 0x1234_5678);
    const devices = fc.array(fc.array(word, { maxLength: 30 }), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(devices, fc.nat(4), word, (all, removed, wanted) => {
        const index = new DigestIndex();
        for (const [i, words] of all.entries()) index.add(`${i}`, { chunks: mapOf(words), algorithm: 'sha256' });
        index.remove(`${removed}`);
        const expected = all.flatMap((words, i) =>
          i === removed ? [] : words.flatMap((w, chunk) => (w === wanted ? [`${i}/${chunk}/${chunk * 4096}`] : [])),
        );
        const found = index.find(digestOf(wanted), 'sha256');
        expect(found.map(({ name, chunk, offset }) => `${name}/${chunk}/${offset}`).sort()).toEqual(expected.sort());
        expect(index.find(digestOf(wanted), 'blake3')).toEqual([]);
      }),
    );
  });

  it('takes less than 8 MB for 200,000 chunks, and refuses what would make it large', () => {
    const index = new DigestIndex();
    const maps = Array.from({ length: 20 }, (_, i) => mapOf(Array.from({ length: 10_000 }, (_, j) => i * 10_000 + j)));
    const before = process.memoryUsage().arrayBuffers;
    for (const [i, chunks] of maps.entries()) index.add(`${i}`, { chunks, algorithm: 'sha256' });
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(8e6);
    expect(index.find(digestOf(123_456), 'sha256')).toEqual([{ name: '12', chunk: 3456, offset: 3456 * 4096 }]);
    const large = { chunks: maps[0]!, algorithm: 'sha256' } as const;
    expect(Array.from({ length: 100 }, (_, i) => index.add(`more ${i}`, large))).toContain(false);
  });
});
