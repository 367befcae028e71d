import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { dumpErofs } from '../../src/erofs/dump.ts';
import { ErofsReader } from '../../src/erofs/reader.ts';
import { writeErofs } from '../../src/erofs/writer.ts';
import { devices, directory, fixedTree, name, options } from './trees.ts';

describe('dumpErofs()', () => {
  it('describes the fixed tree as test/golden/erofs-dump.txt does', async () => {
    const root = fixedTree();
    root.children.delete(name('many'));
    root.children.delete(name('long'));
    const lines = [...dumpErofs(new ErofsReader(writeErofs(root, devices, options)))];
    await expect(`${lines.join('\n')}\n`).toMatchFileSnapshot('../golden/erofs-dump.txt');
  });
});

/** What changes these changes every bootstrap's digest: say why in the commit. */
describe('writeErofs()', () => {
  it.each([
    ['the fixed tree', fixedTree(), 'ef245add7977a461b462731d0a2b3ab57de5f34d3a45871fc0eeda94d22f739b'],
    ['an empty root', directory(), 'ea1f230b27f11fa81c636a870991fc9ef2e2236f9300a5f03bde513201e4c2fd'],
  ])('makes the same image of %s for ever', (_, root, digest) => {
    expect(
      createHash('sha256')
        .update(writeErofs(root, devices, options))
        .digest('hex'),
    ).toBe(digest);
  });
});
