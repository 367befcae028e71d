import { describe, expect, it } from 'vitest';
import { FormatError } from '../../src/errors.ts';
import type { LayerEntry } from '../../src/tree/layer-entry.ts';
import { at, dir, fifo, file, hard, link, merged, show, xattrs } from './trees.ts';

/** The same base for most cases; what a case adds is its second layer. Every expectation was seen of containerd. */
const base = [
  dir('a/'),
  file('a/x', 1),
  file('a/y', 2),
  dir('b/'),
  file('f', 3),
  link('s', 'a'),
  link('abs', '/b'),
  link('up', '../../b'),
];
const baseLines = ['d a', 'f a/x 1', 'f a/y 2', 'l abs -> /b', 'd b', 'f f 3', 'l s -> a', 'l up -> ../../b'];

/** What a second layer changes of the lines of the base. */
function change(...entries: LayerEntry[]): { gone: string[]; added: string[] } {
  const lines = show(merged(base, entries));
  return {
    gone: baseLines.filter((line) => !lines.includes(line)),
    added: lines.filter((line) => !baseLines.includes(line)),
  };
}

describe('applyLayer() paths', () => {
  it('merges the base', () => {
    expect(show(merged(base))).toEqual(baseLines);
  });

  it.each([
    ['./a/new', 'a/new'],
    ['/a/new', 'a/new'],
    ['a//./new', 'a/new'],
    ['../../a/new', 'a/new'],
    ['b/../a/new', 'a/new'],
    ['nothing/../a/new', 'a/new'],
    ['new/', 'new'],
  ])('puts "%s" at "%s"', (path, place) => {
    expect(change(file(path, 9))).toEqual({ gone: [], added: [`f ${place} 9`] });
  });

  it.each([
    ['s', 'a/'],
    ['abs', '/b'],
    ['up', '../../b'],
  ])('goes through "%s", a link of the same layer', (path, target) => {
    const root = merged([dir('a/'), dir('b/')], [link(path, target), file(`${path}/new`, 9)]);
    expect(show(root).filter((line) => line.endsWith('new 9'))).toEqual([`f ${target.replace(/[./]/g, '')}/new 9`]);
  });

  it.each([
    ['s', 'l s -> a', file('s/new', 9), ['d s', 'f s/new 9']],
    ['abs', 'l abs -> /b', file('abs/new', 9), ['d abs', 'f abs/new 9']],
    ['f', 'f f 3', file('f/new', 9), ['d f', 'f f/new 9']],
    ['s', 'l s -> a', file('s/.wh.x'), ['d s']],
    ['s', 'l s -> a', file('s/.wh..wh..opq'), ['d s']],
  ])('puts a directory where "%s" is no directory of a lower layer', (_, gone, entry, added) => {
    expect(change(entry)).toEqual({ gone: [gone], added });
  });

  it('gives the directory that hides a link the attributes of the one it led to', () => {
    const attributes = { mode: 0o2700, uid: 7, gid: 8, mtime: 9, mtimeNs: 1, xattrs: xattrs({ 'user.a': 'b' }) };
    const root = merged([dir('a/', attributes), link('s', 't'), link('t', 'a')], [file('s/new', 9)]);
    expect(at(root, 's')).toMatchObject({ kind: 'directory', ...attributes, mode: 0o042700 });
    expect(show(root)).toEqual(['d a', 'd s', 'f s/new 9', 'l t -> a']);
  });

  it.each(['nowhere', 'f', 'f/x'])(
    'gives the directory that hides a link to "%s" what missing parents have',
    (target) => {
      const root = merged([file('f'), link('s', target)], [file('s/new', 9)]);
      expect(at(root, 's')).toMatchObject({ kind: 'directory', mode: 0o040755, mtime: 0 });
    },
  );

  it.each(['.', './', '/', '..', 'a/..', ''])('ignores a file at "%s", which is the root', (path) => {
    expect(change(file(path))).toEqual({ gone: [], added: [] });
  });

  it('lets a directory entry set the attributes of the root', () => {
    const root = merged(base, [dir('./', { mode: 0o1777, uid: 5, mtime: 7, xattrs: xattrs({ 'user.a': 'b' }) })]);
    expect(root).toMatchObject({ mode: 0o041777, uid: 5, mtime: 7, xattrs: xattrs({ 'user.a': 'b' }) });
    expect(show(root)).toEqual(baseLines);
  });

  it('makes missing parents, 0755 and of the epoch', () => {
    const root = merged([file('new/deep/file', 9)]);
    expect(show(root)).toEqual(['d new', 'd new/deep', 'f new/deep/file 9']);
    expect(at(root, 'new/deep')).toMatchObject({ mode: 0o040755, uid: 0, gid: 0, mtime: 0, mtimeNs: 0 });
  });

  it('makes the parents a dangling link leads to', () => {
    const root = merged([link('s', 'gone/deep'), file('s/file', 9)]);
    expect(show(root)).toEqual(['d gone', 'd gone/deep', 'f gone/deep/file 9', 'l s -> gone/deep']);
  });

  it('takes back names of a link target before it asks the tree, as containerd does', () => {
    const root = merged(base, [link('b/t', 'nothing/../../a'), file('b/t/new', 9)]);
    expect(show(root)).toContain('f a/new 9');
  });
});

describe('applyLayer() replaces', () => {
  it.each([
    ['a file by a file', [file('f', 9)], ['f f 3'], ['f f 9']],
    ['a file by a directory', [dir('f/'), file('f/new', 9)], ['f f 3'], ['d f', 'f f/new 9']],
    ['a directory and all in it by a file', [file('a', 9)], ['d a', 'f a/x 1', 'f a/y 2'], ['f a 9']],
    ['a link, not what it leads to', [file('s', 9)], ['l s -> a'], ['f s 9']],
    ['a link by a directory', [dir('s/')], ['l s -> a'], ['d s']],
    ['the first of two by the second', [file('n', 8), fifo('n')], [], ['p n']],
    ['nothing of a directory declared again', [dir('a')], [], []],
  ] as const)('%s', (_, entries, gone, added) => {
    expect(change(...entries)).toEqual({ gone, added });
  });

  it('gives a directory declared again its new attributes', () => {
    const lower = dir('a/', { mode: 0o700, uid: 1, xattrs: xattrs({ 'user.old': '1' }) });
    const upper = dir('a/', { mode: 0o2711, uid: 2, mtime: 5, mtimeNs: 6, xattrs: xattrs({ 'user.new': '2' }) });
    expect(at(merged([lower, file('a/x')], [upper]), 'a')).toMatchObject({
      mode: 0o042711,
      uid: 2,
      mtime: 5,
      mtimeNs: 6,
      xattrs: xattrs({ 'user.new': '2' }),
    });
  });
});

describe('applyLayer() whiteouts', () => {
  it.each([
    ['of a file', [file('.wh.f')], ['f f 3'], []],
    ['of a directory', [file('.wh.a')], ['d a', 'f a/x 1', 'f a/y 2'], []],
    ['that is a directory itself', [dir('.wh.f')], ['f f 3'], []],
    ['of a link, not of what it leads to', [file('.wh.s')], ['l s -> a'], []],
    ['through a link of the same layer', [link('t', 'a'), file('t/.wh.x')], ['f a/x 1'], ['l t -> a']],
    ['of nothing', [file('a/.wh.nothing')], [], []],
    ['in a directory that does not exist', [file('new/.wh.x')], [], ['d new']],
    ['before the same name', [file('.wh.a'), file('a/new', 9)], ['f a/x 1', 'f a/y 2'], ['f a/new 9']],
    ['after a file of the same layer', [file('a/new', 9), file('a/.wh.new')], [], []],
  ] as const)('%s', (_, entries, gone, added) => {
    expect(change(...entries)).toEqual({ gone, added });
  });

  it.each(['.wh.', 'a/.wh.', 'a/.wh..', 'a/.wh...', '.wh..', '.wh...'])(
    'fails on "%s", which names no file',
    (path) => {
      expect(() => change(file(path))).toThrow(FormatError);
    },
  );

  it("keeps AUFS's books out of the tree, and the hard links that lead into them", () => {
    const books = [dir('.wh..wh.plnk/'), file('.wh..wh.plnk/1.2', 9), file('.wh..wh.aufs'), file('d/.wh..wh.orph/x')];
    expect(change(...books, hard('linked', '.wh..wh.plnk/1.2'))).toEqual({ gone: [], added: ['d d', 'f linked 9'] });
  });
});

describe('applyLayer() opaque markers', () => {
  const opaque = file('a/.wh..wh..opq');
  const hidden = { gone: ['f a/x 1', 'f a/y 2'], added: ['f a/new 9'] };

  it.each([
    ['first', [opaque, file('a/new', 9)]],
    ['last', [file('a/new', 9), opaque]],
    ['twice', [opaque, file('a/new', 9), opaque]],
    ['between', [file('a/.wh.x'), opaque, dir('a/'), file('a/new', 9)]],
  ])('hides what lower layers put there, wherever it stands: %s', (_, entries) => {
    expect(change(...entries)).toEqual(hidden);
  });

  it('spares a file of the same layer under a name the lower layer has too', () => {
    expect(change(file('a/x', 9), opaque)).toEqual({ gone: ['f a/x 1', 'f a/y 2'], added: ['f a/x 9'] });
  });

  it.each([
    ['declared', [dir('a/sub/')]],
    ['not declared', []],
  ])('hides what lies deeper, and spares the directories on the way to what is new, %s', (_, declaration) => {
    const lower = [dir('a/'), dir('a/sub/'), file('a/sub/old', 1), dir('a/gone/'), file('a/gone/x', 1)];
    const root = merged(lower, [...declaration, file('a/sub/new', 9), opaque]);
    expect(show(root)).toEqual(['d a', 'd a/sub', 'f a/sub/new 9']);
  });

  it('hides everything below the root', () => {
    expect(show(merged(base, [file('k/1', 9), file('.wh..wh..opq'), file('z', 8)]))).toEqual([
      'd k',
      'f k/1 9',
      'f z 8',
    ]);
  });

  it('makes the directory when there is none', () => {
    expect(change(file('new/.wh..wh..opq'))).toEqual({ gone: [], added: ['d new'] });
  });

  it('takes time in proportion to the layer, not to markers times files', () => {
    const files = Array.from({ length: 20_000 }, (_, index) => file(`a/${index}`));
    const layer = files.flatMap((entry) => [entry, opaque]);
    const start = performance.now();
    expect(show(merged(base, layer)).length).toBeGreaterThan(20_000);
    expect(performance.now() - start).toBeLessThan(5000);
  });
});

describe('applyLayer() hard links', () => {
  it.each([
    ['to the same layer', [file('n', 9), hard('m', 'n')], ['f m 9 =m', 'f n 9 =m']],
    ['to a lower layer', [hard('m', 'a/x')], ['f a/x 1 =a/x', 'f m 1 =a/x']],
    ['by an absolute path', [hard('m', '/a/x')], ['f a/x 1 =a/x', 'f m 1 =a/x']],
    ['through a link', [hard('m', './s/x')], ['f a/x 1 =a/x', 'f m 1 =a/x']],
    ['to a link, which is not followed', [hard('m', 's')], ['l m -> a =m', 'l s -> a =m']],
    ['over a file', [hard('f', 'a/x')], ['f a/x 1 =a/x', 'f f 1 =a/x']],
    ['to a link by way of another', [hard('m', 'f'), hard('n', 'm')], ['f f 3 =f', 'f m 3 =f', 'f n 3 =f']],
  ])('%s', (_, entries, lines) => {
    expect(show(merged(base, entries)).filter((line) => line.includes('='))).toEqual(lines);
  });

  it('leave the inode to its other names when one is replaced', () => {
    const lines = show(merged(base, [hard('m', 'a/x'), hard('n', 'a/x'), file('a/x', 9)]));
    expect(lines.filter((line) => /^f (a.x|m|n)/.test(line))).toEqual(['f a/x 9', 'f m 1 =m', 'f n 1 =m']);
  });

  it('give the inode the attributes of their own header', () => {
    const lower = file('f', 1, {
      mode: 0o4755,
      xattrs: xattrs({ 'security.capability': 'c', 'user.a': '1', 'user.b': '1' }),
    });
    const upper = hard('m', 'f', { mode: 0o640, uid: 5, mtime: 9, mtimeNs: 8, xattrs: xattrs({ 'user.b': '2' }) });
    // chown(2) drops the capability.
    expect(at(merged([lower], [upper]), 'f')).toMatchObject({
      mode: 0o100640,
      uid: 5,
      mtime: 9,
      mtimeNs: 8,
      xattrs: xattrs({ 'user.a': '1', 'user.b': '2' }),
    });
  });

  it('keep a capability that their header has too', () => {
    const capability = xattrs({ 'security.capability': 'c' });
    const root = merged([file('f', 1, { xattrs: capability }), hard('m', 'f', { xattrs: capability })]);
    expect(at(root, 'f').xattrs).toEqual(capability);
  });

  it('leave the mode of a symbolic link alone', () => {
    expect(at(merged([link('s', 'a'), hard('m', 's', { mode: 0o600, uid: 3 })]), 's')).toMatchObject({
      mode: 0o120777,
      uid: 3,
    });
  });

  it.each([
    ['to nothing', hard('m', 'nothing')],
    ['to nothing in a directory that does not exist', hard('m', 'no/thing')],
    ['to themselves', hard('f', 'f')],
    ['to a directory', hard('m', 'a')],
    ['to the root', hard('m', '/')],
    ['into the directory they replace', hard('a', 'a/x')],
  ])('fail %s', (_, entry) => {
    expect(() => change(entry)).toThrow(expect.objectContaining({ code: 'SLUICE_TREE_INVALID' }));
  });
});

describe('applyLayer() attributes', () => {
  it('keeps modes, owners, times before 1970 and trusted xattrs', () => {
    const more = { mode: 0o6755, uid: 4e9, gid: 7, mtime: -5, mtimeNs: 1, xattrs: xattrs({ 'trusted.t': '1' }) };
    expect(at(merged([file('f', 1, more)]), 'f')).toMatchObject({ ...more, mode: 0o106755 });
  });

  it.each([
    ['file', file, ['security.s', 'system.posix_acl_access', 'trusted.t', 'user.u']],
    ['directory', dir, ['security.s', 'system.posix_acl_access', 'trusted.t', 'user.u']],
    ['fifo', fifo, ['security.s', 'system.posix_acl_access', 'trusted.t']],
  ] as const)('keeps the xattrs Linux lets a %s have', (_, make, kept) => {
    const all = [
      'com.apple.provenance',
      'security.s',
      'system.foo',
      'system.posix_acl_access',
      'trusted.t',
      'user.',
      'user.u',
    ];
    const more = { xattrs: xattrs(Object.fromEntries(all.map((name) => [name, 'v']))) };
    const entry = make === file ? file('e', 1, more) : make === dir ? dir('e', more) : fifo('e', more);
    expect([...at(merged([entry]), 'e').xattrs.keys()].sort()).toEqual(kept);
  });

  it('gives every symbolic link the mode Linux gives it, and no user xattrs', () => {
    const entry = link('s', 'a', { mode: 0o640, xattrs: xattrs({ 'user.u': '1', 'trusted.t': '2' }) });
    expect(at(merged([entry]), 's')).toMatchObject({ mode: 0o120777, xattrs: xattrs({ 'trusted.t': '2' }) });
  });

  it('does not change the entries, nor trees made of the same entries', () => {
    const layer = [file('f', 1, { mode: 0o600 }), dir('d/', { mode: 0o700 })];
    const before = structuredClone(layer);
    const first = merged(layer);
    merged(layer, [hard('m', 'f', { mode: 0o777 }), dir('d/', { mode: 0o777 })]);
    expect(layer).toEqual(before);
    expect(at(first, 'f').mode).toBe(0o100600);
    expect(at(first, 'd').mode).toBe(0o040700);
  });
});

describe('applyLayer() limits', () => {
  const chain = Array.from({ length: 41 }, (_, index) => link(`l${index}`, index === 40 ? 'a' : `l${index + 1}`));

  it.each([
    ['a file of the same layer among the parents', [file('f', 9), file('f/x')]],
    ['a link that leads to itself', [link('loop', 'loop'), file('loop/x')]],
    ['links that lead in a circle', [link('p', 'q/r'), link('q', 'p'), file('p/x')]],
    ['more than 40 links', [...chain, file('l0/x')]],
    ['a name of 256 bytes', [file('n'.repeat(256))]],
    ['a parent of 256 bytes', [file(`${'n'.repeat(256)}/x`)]],
    ['a NUL in a name', [file('a\0b')]],
    ['more than 2048 levels', [file(`${'d/'.repeat(2049)}x`)]],
    ['a link to an empty path', [link('e', '')]],
    ['a link to a path of 4096 bytes', [link('e', 't'.repeat(4096))]],
  ])('fails on %s', (_, entries) => {
    expect(() => change(...entries)).toThrow(expect.objectContaining({ code: 'SLUICE_TREE_INVALID' }));
  });

  it('takes what just fits', () => {
    const deep = 'd/'.repeat(2048);
    const root = merged(base, [
      ...chain.slice(1),
      file('l1/x', 9),
      file('n'.repeat(255)),
      file(`${deep}x`),
      link('t', 't'.repeat(4095)),
    ]);
    expect(show(root)).toContain('f a/x 9');
    expect(show(root)).toContain(`f ${deep}x 1`);
  });
});
