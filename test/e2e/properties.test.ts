import { readFile as readLocalFile } from 'node:fs/promises';
import path from 'node:path';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { type ByteString, displayText } from '../../src/byte-string.ts';
import { type DirectoryInode, type Inode, S_IFBLK, S_IFCHR, S_IFMT } from '../../src/erofs/inode.ts';
import { SluiceError } from '../../src/errors.ts';
import type { LayerEntry } from '../../src/tree/layer-entry.ts';
import { tarEntryFromLayer } from '../../src/tree/tar-entry.ts';
import { countLinks, walk } from '../../src/tree/walk.ts';
import { loadZstd } from '../../src/zstd/codec.ts';
import { content, sha256Hex } from '../support/content.ts';
import { convertLayers } from '../support/convert-layers.ts';
import { memoryImage } from '../support/image.ts';
import { run } from '../support/process.ts';
import {
  anyTree,
  attributesText,
  expectedSummary,
  linksText,
  type RandomTree,
  treeTar,
} from '../support/random-tree.ts';
import { type ImageInProcess, withImage } from '../support/read-image.ts';
import { withMount } from '../support/sluice.ts';
import { withTemporaryDirectory } from '../support/temporary.ts';
import { has, isRoot } from '../support/tools.ts';
import { difference, summarise, type TreeEntry, type TreeSummary } from '../support/tree-summary.ts';
import { writeTar } from '../tar/archives.ts';
import { OverlayOracle } from '../tree/overlay-oracle.ts';
import { dir, fifo, file, hard, link } from '../tree/trees.ts';

/** `SLUICE_PROPERTY_RUNS` multiplies the runs. */
const runs = (count: number): { numRuns: number } => ({
  numRuns: count * Number(process.env.SLUICE_PROPERTY_RUNS ?? 1),
});

beforeAll(() => loadZstd());

/** Converts layers and opens the result, on one core: that is what a run costs. */
function withConverted<Result>(
  tars: readonly Uint8Array[],
  use: (reference: string, directory: string) => Promise<Result>,
): Promise<Result> {
  return withTemporaryDirectory(async (directory) => {
    const image = memoryImage(tars, { compression: 'none' });
    const { reference } = await convertLayers(image, directory, { workers: 1, parameters: { level: 1 } });
    return use(reference, directory);
  });
}

/** The tree of an open image as `summarise()` sees it when it is mounted. */
async function summariseImage({ image, read }: ImageInProcess): Promise<TreeSummary> {
  const root = image.bootstrap.erofs.tree();
  const links = countLinks(root);
  const names = new Map<Inode, ByteString[]>();
  const found = Array.from(walk(root));
  for (const { path, inode } of found) names.set(inode, [...(names.get(inode) ?? []), path]);
  const summary: TreeSummary = new Map();
  for (const { path, inode } of found) {
    const group = [...(names.get(inode) ?? [])].sort();
    const bytes = inode.kind === 'file' ? await read(path) : undefined;
    summary.set(path, describeInode(inode, bytes, links.get(inode) ?? 0, group));
  }
  return summary;
}

function describeInode(
  inode: Inode,
  bytes: Buffer | undefined,
  links: number,
  group: readonly ByteString[],
): TreeEntry {
  const common = { ...attributesText(inode), links: inode.kind === 'directory' ? '' : linksText(group, links) };
  switch (inode.kind) {
    case 'file':
      return { ...common, kind: 'f', size: `${inode.size}`, content: sha256Hex(bytes ?? Buffer.alloc(0)) };
    case 'directory':
      return { ...common, kind: 'd', size: '', content: '' };
    case 'symlink':
      return { ...common, kind: 'l', size: `${inode.target.length}`, content: displayText(inode.target) };
    case 'special': {
      const kind = { [S_IFCHR]: 'c', [S_IFBLK]: 'b' }[inode.mode & S_IFMT] ?? 'p';
      return { ...common, kind, size: '', content: kind === 'p' ? '' : `${inode.major}:${inode.minor}` };
    }
  }
}

describe('a random tree', () => {
  it('is the same when it is converted and read', () =>
    fc.assert(
      fc.asyncProperty(anyTree, (tree) =>
        withConverted([treeTar(tree)], (reference) =>
          withImage(reference, async (open) => {
            expect(difference(expectedSummary(tree), await summariseImage(open))).toEqual([]);
          }),
        ),
      ),
      { ...runs(12), endOnFailure: true },
    ));

  it.skipIf(!isRoot() || !has('getfattr', 'tar'))(
    'is the same when it is mounted, and so is what tar(1) makes of the mount',
    () =>
      fc.assert(
        fc.asyncProperty(anyTree, (tree) =>
          withConverted([treeTar(tree)], async (reference, directory) => {
            const archive = path.join(directory, 'mounted.tar');
            await withMount(['--cache-dir', path.join(directory, 'cache'), reference], async (mounted) => {
              expect(difference(expectedSummary(tree), await summarise(mounted, { content: true }))).toEqual([]);
              const options = ['--format=posix', '--numeric-owner', '--sparse', '--xattrs', '--xattrs-include=*'];
              await run('tar', ['-C', mounted, ...options, '-cf', archive, '.']);
            });
            await expectTree(tree, await readLocalFile(archive));
          }),
        ),
        { ...runs(2), endOnFailure: true },
      ),
  );
});

function expectTree(tree: RandomTree, tar: Uint8Array): Promise<void> {
  return withConverted([tar], (reference) =>
    withImage(reference, async (open) => {
      expect(difference(expectedSummary(tree), await summariseImage(open))).toEqual([]);
    }),
  );
}

// Few names, so that layers meet.
const anyPath = fc
  .array(fc.constantFrom('p', 'q', 'r'), { minLength: 1, maxLength: 3 })
  .map((names) => names.join('/'));
const anyMode = fc.constantFrom(0o600, 0o644, 0o4755);
const inFolder = (target: string, prefix: string): string => `${target.slice(0, target.lastIndexOf('/') + 1)}${prefix}`;
/** Some that are equal, some larger than a chunk. */
const anySize = fc.constantFrom(1, 5000, 40_000, 140_000);

const anyEntry: fc.Arbitrary<LayerEntry> = fc.oneof(
  { weight: 3, arbitrary: fc.tuple(anyPath, anySize, anyMode).map(([name, size, mode]) => file(name, size, { mode })) },
  { weight: 2, arbitrary: fc.tuple(anyPath, anyMode).map(([name, mode]) => dir(`${name}/`, { mode })) },
  fc.tuple(anyPath, anyPath).map(([name, target]) => link(name, `/${target}`)),
  fc.tuple(anyPath, anyPath, anyMode).map(([name, target, mode]) => hard(name, target, { mode })),
  anyPath.map((name) => fifo(name)),
  anyPath.map((name) => file(`${inFolder(name, '.wh.')}${name.split('/').at(-1)}`, 0)),
  anyPath.map((name) => file(`${name}/.wh..wh..opq`, 0)),
);
const anyLayers = fc.array(fc.array(anyEntry, { maxLength: 8 }), { minLength: 2, maxLength: 4 });

function layerTar(entries: readonly LayerEntry[]): Uint8Array {
  return writeTar(
    entries.map((entry) => {
      const bytes = entry.kind === 'file' ? Buffer.from(content(entry.size, entry.size)) : Buffer.alloc(0);
      return { entry: { ...tarEntryFromLayer(entry), sparse: undefined }, content: bytes };
    }),
  );
}

/** Lines as the oracle writes them. */
function lines(root: DirectoryInode): string[] {
  const first = new Map<Inode, string>();
  return Array.from(walk(root), ({ path: name, inode }) => {
    first.set(inode, first.get(inode) ?? name);
    const size = inode.kind === 'file' ? inode.size : 0;
    const target = inode.kind === 'symlink' ? inode.target : '';
    return `${name} ${inode.kind} ${size} ${inode.mode.toString(8)} ${target} ${first.get(inode)}`;
  }).slice(1);
}

function oracleLines(layers: readonly (readonly LayerEntry[])[]): string[] | undefined {
  const oracle = new OverlayOracle();
  try {
    for (const layer of layers) oracle.applyLayer(layer);
  } catch {
    return undefined;
  }
  return oracle.lines();
}

describe('random layers', () => {
  it.each([false, true])(
    'merge to what rules over flat paths make of them, content and all; dropHidden %s',
    (dropHidden) =>
      fc.assert(
        fc.asyncProperty(anyLayers, async (layers) => {
          const expected = oracleLines(layers);
          await withTemporaryDirectory(async (directory) => {
            const image = memoryImage(layers.map(layerTar), { compression: 'none' });
            const converting = convertLayers(image, directory, { workers: 1, parameters: { level: 1, dropHidden } });
            if (expected === undefined) {
              await expect(converting).rejects.toBeInstanceOf(SluiceError);
              return;
            }
            const { reference } = await converting;
            await withImage(reference, async (open) => {
              const root = open.image.bootstrap.erofs.tree();
              expect(lines(root)).toEqual(expected);
              for (const { path: name, inode } of walk(root)) {
                if (inode.kind !== 'file') continue;
                expect(sha256Hex(await open.read(name)), name).toBe(sha256Hex(content(inode.size, inode.size)));
              }
            });
          });
        }),
        { ...runs(12), endOnFailure: true },
      ),
  );
});
