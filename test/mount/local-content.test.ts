import { describe, expect, it } from 'vitest';
import { ChunkMap } from '../../src/chunk/chunk-map.ts';
import { LocalContent } from '../../src/mount/local-content.ts';

const page = 4096;
const digest = new Uint8Array(32);

/** A device of chunks of one, two, three… pages. */
function device(count: number, present: () => readonly number[]) {
  const stored = Array.from({ length: count }, (_, i) => ({ length: (i + 1) * page, compressedLength: 9, digest }));
  return { chunks: ChunkMap.fromChunks(stored), present };
}

describe('LocalContent', () => {
  it('adds up what the devices have, in chunks and bytes', () => {
    const local = new LocalContent([device(3, () => [0, 2]), device(2, () => [0, 1]), device(0, () => [])]);
    expect(local.total).toEqual({ chunks: 5, bytes: 9 * page });
    expect(local.local).toEqual({ chunks: 4, bytes: 7 * page });
    expect(local.missingBytes).toBe(2 * page);
  });

  it.each([
    [[], [0, 1, 2, 3]],
    [[0], [1, 2, 3]],
    [
      [1, 3],
      [0, 2],
    ],
    [[0, 1, 2, 3], []],
  ])('missing() is the rest of %j', (present, missing) => {
    expect(new LocalContent([device(4, () => present)]).missing(0)).toEqual(missing);
  });

  it('counts again when a count is old, whoever stored or evicted', () => {
    let [now, reads, present] = [0, 0, [0]];
    const counted = device(3, () => {
      reads++;
      return present;
    });
    const local = new LocalContent([counted], () => now);
    expect(local.local.chunks).toBe(1);
    present = [0, 1, 2];
    expect([local.local.chunks, reads]).toEqual([1, 1]);
    now += 250;
    expect([local.local.chunks, reads]).toEqual([3, 2]);
    present = [];
    now += 250;
    expect(local.local.chunks).toBe(0);
  });

  it('knows at once what was found missing', () => {
    let present: number[] = [];
    const local = new LocalContent([device(2, () => present)], () => 0);
    expect(local.local.chunks).toBe(0);
    present = [0, 1];
    expect(local.missing(0)).toEqual([]);
    expect(local.local.chunks).toBe(2);
  });

  it('finds nothing on a disk that cannot be read', () => {
    const broken = device(2, () => {
      throw new Error('EIO');
    });
    const local = new LocalContent([broken]);
    expect(local.local.chunks).toBe(0);
    expect(local.missing(0)).toEqual([0, 1]);
  });
});
