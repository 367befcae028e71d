import { setImmediate } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { byteStringFromText } from '../../src/byte-string.ts';
import { MergedContent } from '../../src/convert/merged-content.ts';
import { digestFromBytes } from '../../src/oci/digest.ts';
import type { Profile } from '../../src/profile/profile.ts';
import type { LayerEntry } from '../../src/tree/layer-entry.ts';
import { dir, file, hard } from '../tree/trees.ts';

const failure = new Error('a layer failed');
const digest = (value: number): Uint8Array => new Uint8Array(32).fill(value);
const hex = (value: number): string => Buffer.from(digest(value)).toString('hex');

/** A layer whose files have the digests 10 × `layer` and up; one without has a hole. */
function layerOf(layer: number, entries: readonly LayerEntry[], sparse?: number) {
  const digests = entries.map((_, i) => [i, digest(10 * layer + i)] as const);
  return { entries, fileDigests: new Map(digests.filter(([i]) => i !== sparse)) };
}

const extentsOf = (entry: LayerEntry | undefined) => (entry?.kind === 'file' ? entry.extents : []);

function trace(...paths: readonly string[]): Profile {
  return {
    name: 'default',
    root: digestFromBytes(digest(1)),
    runs: 1,
    pageExact: true,
    files: paths.map(byteStringFromText),
    reads: [...paths.keys(), 0].map((index) => ({ file: index, page: index, pages: 2 })),
  };
}

describe('MergedContent', () => {
  const lower = layerOf(0, [dir('d/'), file('d/a', 1), file('gone', 2)]);
  const upper = layerOf(1, [file('d/a', 2), hard('d/link', 'd/a'), file('.wh.gone', 0)]);
  const other = layerOf(2, [file('holes', 3), file('last', 4)], 0);
  const layers = [lower, upper, other];

  async function wanted(dropHidden: boolean, profile?: Profile) {
    const merged = new MergedContent(layers.length, dropHidden, profile);
    for (const index of [2, 0, 1]) merged.add(index, layers[index]!);
    return merged.wanted;
  }

  it('keeps the content that the merged tree shows, in whatever order the layers come', async () => {
    const { keep, hot } = await wanted(true);
    const shown = layers.map(({ entries }) => entries.map((entry) => entry.kind === 'file' && keep(entry.extents)));
    expect(shown).toEqual([
      [false, false, false],
      [true, false, false],
      [true, true],
    ]);
    expect(hot.size).toBe(0);
  });

  it('keeps everything when hidden content is wanted, too', async () => {
    expect((await wanted(false)).keep(extentsOf(lower.entries[1]))).toBe(true);
  });

  it('finds the content of the paths of a trace, in the order of their first read', async () => {
    const { hot, keep } = await wanted(false, trace('/holes', '/nowhere', '/d/link', '/last', '/d', '/gone', '/d/a'));
    expect([...hot]).toEqual([
      [extentsOf(other.entries[0]), 0],
      [hex(10), 1],
      [hex(21), 2],
    ]);
    expect(keep(extentsOf(lower.entries[1]))).toBe(true);
  });

  it('refuses a trace of another image', async () => {
    await expect(wanted(false, trace('/gone', '/d/x'))).rejects.toMatchObject({ code: 'SLUICE_OPTION_INVALID' });
  });

  it('ends the wait when a layer fails, and nobody has to wait', async () => {
    const merged = new MergedContent(2, true, undefined);
    merged.add(0, lower);
    merged.fail(failure);
    await expect(merged.wanted).rejects.toBe(failure);
    new MergedContent(1, true, undefined).fail(failure);
    await setImmediate();
  });
});
