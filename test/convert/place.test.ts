import { describe, expect, it } from 'vitest';
import { allContent, type ContentKey, type KnownFile, placeFiles } from '../../src/convert/place.ts';
import type { LayerEntry } from '../../src/tree/layer-entry.ts';
import { dir, file } from '../tree/trees.ts';

const digest = (value: number): Uint8Array => new Uint8Array(32).fill(value);
const key = (value: number): string => Buffer.from(digest(value)).toString('hex');
const nothingKnown: ReadonlyMap<string, KnownFile> = new Map();

describe('placeFiles()', () => {
  it('goes by path in byte order, whatever the order of the tar', () => {
    const entries = ['b', 'a/z', 'a', '\xff', 'a.b', 'Z'].map((path) => file(path));
    const { placed } = placeFiles(entries, new Map(), nothingKnown, allContent);
    expect(placed.map(({ entry }) => entries[entry]!.path)).toEqual(['Z', 'a', 'a.b', 'a/z', 'b', '\xff']);
  });

  it('passes over what has no content', () => {
    const hole: LayerEntry = { ...file('hole', 10_000), extents: [] } as LayerEntry;
    const { placed, repeated } = placeFiles([dir('d/'), hole, file('f', 5000)], new Map(), nothingKnown, allContent);
    expect(placed).toMatchObject([{ entry: 2, length: 8192 }]);
    expect(repeated.size).toBe(0);
  });

  it('repeats a file of a lower layer', () => {
    const known = { size: 7, extents: [{ offset: 0, length: 7, device: 0, deviceOffset: 4096 }] };
    const placement = placeFiles([file('a', 7)], new Map([[0, digest(1)]]), new Map([[key(1), known]]), allContent);
    expect(placement).toEqual({ placed: [], repeated: new Map([[0, known]]), repeatedBytes: 7 });
  });

  it('does not take a file of another size for the same, whatever its digest', () => {
    const known = { size: 8, extents: [{ offset: 0, length: 8, device: 0, deviceOffset: 0 }] };
    const placement = placeFiles([file('a', 7)], new Map([[0, digest(1)]]), new Map([[key(1), known]]), allContent);
    expect(placement).toMatchObject({ placed: [{ entry: 0 }], repeatedBytes: 0 });
  });

  it('repeats a file of its own layer that comes first by path', () => {
    const digests = new Map([0, 1, 2].map((entry) => [entry, digest(1)]));
    const { placed, repeated, repeatedBytes } = placeFiles(
      [file('c', 7), file('b', 7), file('a', 7)],
      digests,
      nothingKnown,
      allContent,
    );
    expect(placed.map(({ entry }) => entry)).toEqual([2]);
    expect([...repeated]).toEqual([
      [1, placed[0]],
      [0, placed[0]],
    ]);
    expect(repeatedBytes).toBe(14);
  });

  it('leaves out what is not wanted, also as a twin of what is', () => {
    const entries = [file('a', 7), file('b', 7)];
    const wanted = entries[1]!;
    const keep = (extents: unknown): boolean => wanted.kind === 'file' && extents === wanted.extents;
    const digests = new Map([0, 1].map((entry) => [entry, digest(1)]));
    expect(placeFiles(entries, digests, nothingKnown, { keep, hot: new Map() })).toMatchObject({
      placed: [{ entry: 1 }],
      repeatedBytes: 0,
    });
  });

  it('puts hot content first, in its own order, whichever file it is stored for', () => {
    const entries = ['a', 'b', 'c', 'd', 'e'].map((path, i) => file(path, i === 4 ? 8 : 7));
    const digests = new Map([0, 1, 2, 3].map((entry) => [entry, digest(entry === 3 ? 0 : entry)]));
    const sparse = entries[4]!;
    const hot = new Map<ContentKey, number>([
      [key(2), 0],
      [sparse.kind === 'file' ? sparse.extents : '', 1],
      [key(0), 2],
      [key(9), 3],
    ]);
    const { placed, repeated } = placeFiles(entries, digests, nothingKnown, { ...allContent, hot });
    expect(placed.map(({ entry }) => entry)).toEqual([2, 4, 0, 1]);
    expect(repeated.get(3)).toBe(placed[2]);
  });
});
