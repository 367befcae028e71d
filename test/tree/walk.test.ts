import { describe, expect, it } from 'vitest';
import type { DirectoryInode } from '../../src/erofs/inode.ts';
import { emptyDirectory } from '../../src/tree/layer-path.ts';
import { countLinks, walk } from '../../src/tree/walk.ts';
import { at, dir, file, hard, merged } from './trees.ts';

describe('walk()', () => {
  it('goes depth first, parents first, names in byte order', () => {
    const root = merged([file('b'), file('a/z'), file('a/\xff'), file('a/Z'), file('a.b'), dir('a/c/d')]);
    const paths = Array.from(walk(root), ({ path }) => path);
    expect(paths).toEqual(['', 'a', 'a/Z', 'a/c', 'a/c/d', 'a/z', 'a/\xff', 'a.b', 'b']);
  });

  it('does not recurse', () => {
    const root = emptyDirectory();
    let last: DirectoryInode = root;
    for (let depth = 0; depth < 20_000; depth++) {
      const child = emptyDirectory();
      last.children.set('d' as never, child);
      last = child;
    }
    let count = 0;
    for (const { inode } of walk(root)) count += inode.kind === 'directory' ? 1 : 0;
    expect(count).toBe(20_001);
  });
});

describe('countLinks()', () => {
  it('counts names of files, and 2 and the subdirectories of directories', () => {
    const root = merged([
      dir('a/'),
      dir('a/b/'),
      dir('a/c/'),
      file('f'),
      hard('a/g', 'f'),
      hard('a/b/h', 'f'),
      file('one'),
    ]);
    const counts = countLinks(root);
    expect(['', 'a', 'a/b', 'f', 'a/g', 'one'].map((path) => counts.get(at(root, path)))).toEqual([3, 4, 2, 3, 3, 1]);
  });
});
