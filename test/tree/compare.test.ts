import { describe, expect, it } from 'vitest';
import { compareTrees } from '../../src/tree/compare.ts';
import { dir, fifo, file, hard, link, merged, xattrs } from './trees.ts';

const base = [dir('d/'), file('d/f', 5), link('l', 't'), fifo('p'), file('h1', 2), hard('h2', 'h1')];

describe('compareTrees()', () => {
  it('finds nothing in equal trees', () => {
    expect(compareTrees(merged(base), merged(base))).toEqual([]);
  });

  it.each([
    ['a missing name', [file('.wh.p')], [['p', 'presence', 'present', 'absent']]],
    ['a missing directory, once', [file('.wh.d')], [['d', 'presence', 'present', 'absent']]],
    ['an extra name', [file('d/new')], [['d/new', 'presence', 'absent', 'present']]],
    ['a kind', [dir('p/')], [['p', 'kind', 'special 10000', 'directory']]],
    ['a mode', [dir('d/', { mode: 0o1700 })], [['d', 'mode', '0755', '01700']]],
    [
      'owners',
      [dir('d/', { uid: 1, gid: 2 })],
      [
        ['d', 'uid', '0', '1'],
        ['d', 'gid', '0', '2'],
      ],
    ],
    ['nanoseconds', [dir('d/', { mtimeNs: 1 })], [['d', 'mtime', '1700000000+000000000ns', '1700000000+000000001ns']]],
    ['a size', [file('d/f', 6)], [['d/f', 'size', '5', '6']]],
    ['a target', [link('l', 'u')], [['l', 'target', 't', 'u']]],
    ['a device', [{ ...fifo('p'), major: 1 }], [['p', 'device', '0:0', '1:0']]],
    ['xattrs', [dir('d/', { xattrs: xattrs({ 'user.a': 'b' }) })], [['d', 'xattrs', '', 'user.a=0x62']]],
    ['a link that became a copy', [file('h2', 2)], [['h2', 'hard link', 'h1', 'h2']]],
    ['a copy that became a link', [hard('d/g', 'd/f')], [['d/g', 'presence', 'absent', 'present']]],
  ] as const)('finds %s', (_, entries, expected) => {
    const found = compareTrees(merged(base), merged(base, entries));
    expect(found.map(({ path, what, expected: was, actual }) => [path, what, was, actual])).toEqual(expected);
  });

  it('hands over each pair of files of one size once', () => {
    const pairs: string[] = [];
    compareTrees(merged(base), merged(base, [file('d/f', 6)]), (path) => pairs.push(path));
    expect(pairs).toEqual(['h1']);
    pairs.length = 0;
    compareTrees(merged(base), merged(base, [file('h2', 2)]), (path) => pairs.push(path));
    expect(pairs).toEqual(['d/f', 'h1', 'h2']);
  });
});
