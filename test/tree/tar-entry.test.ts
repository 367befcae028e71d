import { describe, expect, it } from 'vitest';
import { S_IFSOCK } from '../../src/erofs/inode.ts';
import { layerEntries } from '../../src/tree/layer-entries.ts';
import type { LayerEntry } from '../../src/tree/layer-entry.ts';
import { layerEntryFromTar, tarEntryFromLayer } from '../../src/tree/tar-entry.ts';
import { tarEntry } from '../tar/archives.ts';
import { fifo, file, merged } from './trees.ts';

const sized = (size: number, ...runs: readonly [number, number][]): LayerEntry =>
  ({
    ...file('f', size),
    extents: runs.map(([offset, length]) => ({ offset, length, device: 0, deviceOffset: offset })),
  }) as LayerEntry;

describe('tarEntryFromLayer()', () => {
  it.each([
    ['a whole file', sized(10, [0, 10]), undefined],
    ['an empty file', sized(0), undefined],
    ['neighbouring extents', sized(8192, [0, 4096], [4096, 4096]), undefined],
    ['a hole at the end', sized(9000, [0, 4096]), [{ offset: 0, length: 4096 }]],
    ['a hole at the start', sized(9000, [4096, 4096], [8192, 808]), [{ offset: 4096, length: 4904 }]],
    ['nothing but a hole', sized(9000), []],
  ])('says where %s has content', (_, entry, sparse) => {
    expect(tarEntryFromLayer(entry).sparse).toEqual(sparse);
  });

  it('refuses sockets', () => {
    expect(() => tarEntryFromLayer({ ...fifo('s'), mode: S_IFSOCK | 0o600 })).toThrow(
      expect.objectContaining({ code: 'SLUICE_TREE_INVALID' }),
    );
  });
});

describe('layerEntryFromTar()', () => {
  it.each([
    ['file', 0o100644],
    ['hardlink', 0o100644],
    ['directory', 0o040644],
    ['symlink', 0o120644],
    ['char', 0o020644],
    ['block', 0o060644],
    ['fifo', 0o010644],
  ] as const)('gives a %s its mode', (type, mode) => {
    expect(layerEntryFromTar(tarEntry('x', type), []).mode).toBe(mode);
  });
});

describe('layerEntries()', () => {
  it('refuses a name that a layer would read as a whiteout', () => {
    const root = merged([file('.wh.dir/x')]);
    expect(() => [...layerEntries(root)]).toThrow(expect.objectContaining({ code: 'SLUICE_TREE_INVALID' }));
  });
});
