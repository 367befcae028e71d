import { describe, expect, it } from 'vitest';
import { byteStringFromText } from '../../src/byte-string.ts';
import { ErofsReader } from '../../src/erofs/reader.ts';
import { writeErofs } from '../../src/erofs/writer.ts';
import { listPath } from '../../src/image/list-path.ts';
import { resolvePath } from '../../src/image/resolve-path.ts';
import { dir, fifo, link, merged } from '../tree/trees.ts';

const tree = merged([
  dir('a/'),
  dir('a/b/'),
  fifo('a/b/f'),
  link('a/up', '../a/b'),
  link('abs', '/a/up'),
  link('loop', 'loop'),
  link('out', '../../../../a/b/f'),
  link('broken', 'nothing'),
]);
const erofs = new ErofsReader(writeErofs(tree, [], { buildTime: 0, uuid: new Uint8Array(16) }));
const resolve = (path: string, last: 'follow' | 'keep' = 'follow') =>
  resolvePath(erofs, byteStringFromText(path), last).path;

describe('resolvePath()', () => {
  it.each([
    ['/', ''],
    ['', ''],
    ['/../..', ''],
    ['a/./b//f', 'a/b/f'],
    ['a/b/..', 'a'],
    ['a/up/f', 'a/b/f'],
    ['abs', 'a/b'],
    ['abs/../up', 'a/b'],
    ['out', 'a/b/f'],
  ])('resolves "%s" to "%s"', (path, expected) => {
    expect(resolve(path)).toBe(expected);
  });

  it('keeps a last link, unless the path ends in a slash', () => {
    expect(resolve('a/up', 'keep')).toBe('a/up');
    expect(resolve('a/up/', 'keep')).toBe('a/b');
  });

  it.each(['nothing', 'broken', 'loop', 'a/b/f/', 'a/b/f/x', 'a/b/f/..', 'x/'.repeat(4000)])('refuses "%s"', (path) => {
    expect(() => resolve(path)).toThrow(expect.objectContaining({ code: 'SLUICE_PATH_NOT_FOUND' }));
  });
});

describe('listPath()', () => {
  const list = (path: string, recursive: boolean) =>
    Array.from(listPath(erofs, byteStringFromText(path), recursive), ({ directory, files }) => [
      directory,
      files.map(({ path: found }) => found),
    ]);

  it('lists directories before what they hold', () => {
    expect(list('/a', true)).toEqual([
      ['a', ['a/b', 'a/up']],
      ['a/b', ['a/b/f']],
    ]);
  });

  it('lists a file by itself', () => {
    expect(list('abs', false)).toEqual([[undefined, ['abs']]]);
  });
});
