import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { ByteString } from '../../src/byte-string.ts';
import { withTemporaryDirectory } from './temporary.ts';
import { has } from './tools.ts';
import { difference, summarise } from './tree-summary.ts';

const inside = (directory: string, name: string): Buffer =>
  Buffer.concat([Buffer.from(`${directory}/`), Buffer.from(name, 'latin1')]);

/** Names getfattr(1) escapes and Node cannot decode. */
const names = ['plain', 'new\nline', 'back\\slash', 'a=b', 'raw-\xff\xfe', '# file: x', ' space ', '\x01"\''];

function populate(directory: string): void {
  for (const name of names) {
    writeFileSync(inside(directory, name), name, 'latin1');
    execFileSync('python3', ['-c', setXattr, directory, name]);
  }
  mkdirSync(path.join(directory, 'dir'), { mode: 0o700 });
  linkSync(path.join(directory, 'plain'), path.join(directory, 'dir/hard'));
  symlinkSync(inside(directory, 'raw-\xff'), path.join(directory, 'dir/link'));
  execFileSync('mknod', [path.join(directory, 'device'), 'c', '240', '70000']);
  execFileSync('mkfifo', [path.join(directory, 'fifo')]);
  // Not utimes(): Node takes the present for a time before 1970.
  execFileSync('touch', ['-d', '@-5', path.join(directory, 'fifo')]);
}

const setXattr = `
import os, sys
name = os.fsencode(sys.argv[1]) + b'/' + sys.argv[2].encode('latin1')
os.setxattr(name, 'user.empty', b'')
os.setxattr(name, 'user.e=q', b'a\\n\\n# file: b\\xff')
`;

describe.skipIf(!has('getfattr', 'mknod', 'python3'))('summarise()', () => {
  it('keeps names, targets and attributes that are not UTF-8, or that getfattr escapes', () =>
    withTemporaryDirectory(async (directory) => {
      populate(directory);
      const summary = await summarise(directory, { content: true });
      for (const name of names) {
        const entry = summary.get(name as ByteString);
        expect(entry, name).toMatchObject({
          kind: 'f',
          size: `${name.length}`,
          xattrs: 'user.e\\075q=610a0a232066696c653a2062ff user.empty=',
        });
      }
      expect(summary.size).toBe(names.length + 6);
      expect(summary.get('' as ByteString)).toMatchObject({ kind: 'd', xattrs: '' });
      expect(summary.get('dir/hard' as ByteString)?.links).toBe('nlink 2, found 2 dir/hard');
      expect(summary.get('plain' as ByteString)?.links).toBe('nlink 2, found 2 dir/hard');
      expect(summary.get('dir/link' as ByteString)?.content).toContain('raw-\\xff');
      expect(summary.get('device' as ByteString)?.content).toBe('240:70000');
      expect(summary.get('fifo' as ByteString)).toMatchObject({ kind: 'p', mtime: '-5000000000' });
    }));
});

describe.skipIf(!has('getfattr', 'cp'))('difference()', () => {
  const changes: readonly [what: string, change: (directory: string) => void, want: RegExp][] = [
    ['a missing file', (at) => rmSync(`${at}/b`), /^b: missing$/],
    ['a file too many', (at) => writeFileSync(`${at}/z`, ''), /^z: should not exist$/],
    ['a mode', (at) => chmodSync(`${at}/b`, 0o4755), /^b: mode should be "644", is "4755"$/],
    ['a time', (at) => utimesSync(`${at}/b`, 1, 1), /^b: mtime should be "2000000000", is "1000000000"$/],
    ['a link’s own time', (at) => lutimesSync(`${at}/l`, 1, 1), /^l: mtime/],
    ['one byte of content', (at) => flipByte(`${at}/b`), /^b: content should be/],
  ];

  it.each(changes)('finds %s', (_what, change, want) =>
    withTemporaryDirectory(async (directory) => {
      const [a, b] = [path.join(directory, 'a'), path.join(directory, 'b')];
      mkdirSync(a);
      writeFileSync(`${a}/b`, 'content');
      chmodSync(`${a}/b`, 0o644);
      symlinkSync('b', `${a}/l`);
      utimesSync(`${a}/b`, 2, 2);
      execFileSync('cp', ['-a', a, b]);
      const before = await summarise(a, { content: true });
      expect(difference(before, await summarise(b, { content: true }))).toEqual([]);
      change(b);
      utimesSync(b, 3, 3);
      const found = difference(before, await summarise(b, { content: true }));
      expect(found.filter((line) => !line.startsWith('.: mtime'))).toEqual([expect.stringMatching(want)]);
    }),
  );
});

function flipByte(file: string): void {
  const bytes = readFileSync(file);
  bytes[0] = (bytes[0] ?? 0) ^ 1;
  writeFileSync(file, bytes);
  utimesSync(file, 2, 2);
}
