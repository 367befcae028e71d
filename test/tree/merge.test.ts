import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { DirectoryInode, Inode } from '../../src/erofs/inode.ts';
import { SluiceError } from '../../src/errors.ts';
import { applyLayer } from '../../src/tree/apply-layer.ts';
import { compareTrees } from '../../src/tree/compare.ts';
import { layerEntries } from '../../src/tree/layer-entries.ts';
import type { LayerEntry } from '../../src/tree/layer-entry.ts';
import { emptyDirectory } from '../../src/tree/layer-path.ts';
import { layerEntryFromTar, tarEntryFromLayer } from '../../src/tree/tar-entry.ts';
import { walk } from '../../src/tree/walk.ts';
import { parseTar, writeTar } from '../tar/archives.ts';
import { OverlayOracle } from './overlay-oracle.ts';
import { dir, fifo, file, hard, link, merged } from './trees.ts';

// Few names, so that layers meet.
const anyPath = fc
  .array(fc.constantFrom('p', 'q', 'r'), { minLength: 1, maxLength: 3 })
  .map((names) => names.join('/'));
const anyTarget = fc.tuple(fc.constantFrom('', '/', '../', '../../'), anyPath).map((parts) => parts.join(''));
const anyMode = fc.constantFrom(0o600, 0o644, 0o4755);
const parentOf = (path: string): string => path.slice(0, path.lastIndexOf('/') + 1);

const anyEntry: fc.Arbitrary<LayerEntry> = fc.oneof(
  fc.tuple(anyPath, fc.nat(9), anyMode).map(([path, size, mode]) => file(path, size, { mode })),
  fc.tuple(anyPath, anyMode).map(([path, mode]) => dir(`${path}/`, { mode })),
  fc.tuple(anyPath, anyTarget).map(([path, target]) => link(path, target)),
  fc.tuple(anyPath, anyPath, anyMode).map(([path, target, mode]) => hard(path, target, { mode })),
  anyPath.map((path) => fifo(path)),
  anyPath.map((path) => file(`${parentOf(path)}.wh.${path.slice(parentOf(path).length)}`, 0)),
  anyPath.map((path) => file(`${path}/.wh..wh..opq`, 0)),
);
const anyLayers = fc.array(fc.array(anyEntry, { maxLength: 8 }), { minLength: 1, maxLength: 3 });

function lines(root: DirectoryInode): string[] {
  const first = new Map<Inode, string>();
  return Array.from(walk(root), ({ path, inode }) => {
    first.set(inode, first.get(inode) ?? path);
    const size = inode.kind === 'file' ? inode.size : 0;
    const target = inode.kind === 'symlink' ? inode.target : '';
    return `${path} ${inode.kind} ${size} ${inode.mode.toString(8)} ${target} ${first.get(inode)}`;
  }).slice(1);
}

/** What comes of the layers: lines, or undefined when one cannot be applied. */
function attempt(work: () => string[], isExpected: (error: unknown) => boolean): string[] | undefined {
  try {
    return work();
  } catch (error) {
    if (isExpected(error)) return undefined;
    throw error;
  }
}

const isOurs = (error: unknown): boolean => error instanceof SluiceError;

describe('applyLayer()', () => {
  it('makes the tree that rules over flat paths make', () => {
    let applied = 0;
    fc.assert(
      fc.property(anyLayers, (layers) => {
        const oracle = new OverlayOracle();
        const want = attempt(
          () => {
            for (const layer of layers) oracle.applyLayer(layer);
            return oracle.lines();
          },
          () => true,
        );
        const got = attempt(() => lines(merged(...layers)), isOurs);
        expect(got).toEqual(want);
        if (got !== undefined) applied++;
      }),
      { numRuns: 4000 },
    );
    expect(applied).toBeGreaterThan(500);
  });
});

describe('layerEntries()', () => {
  it('gives a layer that makes the same tree, also by way of a tar', () => {
    fc.assert(
      fc.property(anyLayers, (layers) => {
        fc.pre(attempt(() => lines(merged(...layers)), isOurs) !== undefined);
        const root = merged(...layers);
        const again = emptyDirectory();
        applyLayer(again, layerEntries(root));
        expect(compareTrees(root, again)).toEqual([]);
        const members = Array.from(layerEntries(root), (entry) => {
          const member = tarEntryFromLayer(entry);
          return { entry: member, content: Buffer.alloc(member.size) };
        });
        const extents = new Map(
          Array.from(layerEntries(root), (entry) => [entry.path, entry.kind === 'file' ? entry.extents : []]),
        );
        const read = parseTar(writeTar(members)).map(({ entry }) =>
          layerEntryFromTar(entry, extents.get(entry.path) ?? []),
        );
        expect(compareTrees(root, merged(read))).toEqual([]);
      }),
      { numRuns: 500 },
    );
  });
});
