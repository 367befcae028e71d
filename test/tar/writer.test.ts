import { readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { byteString, byteStringFromText } from '../../src/byte-string.ts';
import type { TarEntry } from '../../src/tar/reader.ts';
import { tarEnd, tarHeader } from '../../src/tar/writer.ts';
import { run } from '../support/process.ts';
import { withTemporaryDirectory } from '../support/temporary.ts';
import { has } from '../support/tools.ts';
import { bytes, listing, type Member, parseTar, pythonListing, tarEntry, writeTar } from './archives.ts';

const nameByte = fc.integer({ min: 1, max: 255 }).filter((byte) => byte !== 0x2f);
const rawName = (maxLength: number) =>
  fc.array(nameByte, { minLength: 1, maxLength }).map((list) => byteString(Uint8Array.from(list)));
const anyPath = fc
  .array(fc.oneof(fc.stringMatching(/^[a-z]{1,60}$/).map(bytes), rawName(120)), { minLength: 1, maxLength: 6 })
  .map((names) => bytes(names.join('/')));
/** PAX cannot name an xattr with an equals sign; neither can star, GNU tar or Go. */
const xattrName = fc.stringMatching(/^[a-z.]{1,30}$/).map((name) => bytes(`user.${name}`));
const anyXattrs = fc
  .array(fc.tuple(xattrName, fc.uint8Array({ maxLength: 60 })), { maxLength: 3 })
  .map((list) => new Map(list.map(([name, value]) => [name, Buffer.from(value)])));
const often = <T>(value: T, other: fc.Arbitrary<T>) => fc.oneof(fc.constant(value), other);

const attributes = fc.record({
  path: anyPath,
  mode: fc.nat(0o7777),
  uid: often(0, fc.nat(2 ** 32 - 2)),
  gid: often(0, fc.nat(2 ** 32 - 2)),
  mtime: often(1_700_000_000, fc.integer({ min: -(2 ** 40), max: 2 ** 40 })),
  mtimeNs: often(0, fc.nat(999_999_999)),
  xattrs: often(new Map(), anyXattrs),
});

/** Content, and for sparse files the runs it fills, as lengths of hole and data in turn. */
const anyFile = fc.record({
  content: fc.uint8Array({ maxLength: 1200 }).map((data) => Buffer.from(data)),
  holes: fc.option(fc.array(fc.tuple(fc.nat(2 ** 33), fc.integer({ min: 1, max: 600 })), { maxLength: 40 }), {
    nil: undefined,
  }),
});

function fileMember(
  base: Partial<TarEntry>,
  { content, holes }: { content: Buffer; holes: [number, number][] | undefined },
): Member {
  const entry = { ...tarEntry('', 'file'), ...base };
  if (holes === undefined) return { entry: { ...entry, size: content.length }, content };
  let end = 0;
  const sparse = holes.map(([hole, length]) => {
    const offset = end + hole + 1;
    end = offset + length;
    return { offset, length };
  });
  const stored = Buffer.alloc(
    sparse.reduce((sum, { length }) => sum + length, 0),
    content.length === 0 ? 1 : content,
  );
  return { entry: { ...entry, size: end + content.length, sparse }, content: stored };
}

const anyMember: fc.Arbitrary<Member> = fc
  .tuple(attributes, anyFile, anyPath, fc.nat(4095), fc.nat(2 ** 20 - 1))
  .chain(([base, file, target, major, minor]) => {
    const empty = Buffer.alloc(0);
    const other = (type: TarEntry['type'], more: Partial<TarEntry> = {}): Member => ({
      entry: { ...tarEntry('', type), ...base, ...more },
      content: empty,
    });
    return fc.constantFrom<Member>(
      fileMember(base, file),
      other('directory', { path: bytes(`${base.path}/`) }),
      other('symlink', { linkTarget: target }),
      other('hardlink', { linkTarget: target }),
      other('char', { major, minor }),
      other('block', { major, minor }),
      other('fifo'),
    );
  });

describe('tarHeader()', () => {
  it('writes what TarParser reads back, however it is cut', () => {
    fc.assert(
      fc.property(fc.array(anyMember, { maxLength: 8 }), fc.integer({ min: 1, max: 3000 }), (members, step) => {
        expect(parseTar(writeTar(members), step)).toEqual(members);
      }),
      { numRuns: 300 },
    );
  });

  it.skipIf(!has('python3', 'tar'))('writes what Python and GNU tar read the same way', async () => {
    const members = fc.sample(anyMember, { numRuns: 400, seed: 7 });
    await withTemporaryDirectory(async (directory) => {
      const archive = path.join(directory, 'random.tar');
      writeFileSync(archive, writeTar(members));
      expect(await pythonListing(archive)).toEqual(listing(members));
      const names = await run('tar', ['--list', '--quoting-style=escape', '-P', '-f', archive], {
        env: { ...process.env, LC_ALL: 'C' },
      });
      expect(names.trim().split('\n')).toHaveLength(members.length);
    });
  });

  it.skipIf(!has('tar'))('writes sparse files that GNU tar unpacks', async () => {
    const sparse = [
      { offset: 99_840, length: 512 },
      { offset: 10_000_000, length: 4 },
    ];
    const archive = writeTar([
      {
        entry: tarEntry('holes', 'file', { size: 20_000_000, sparse }),
        content: Buffer.from(`${'one'.padEnd(512, '\0')}two!`),
      },
      { entry: tarEntry('nothing', 'file', { size: 5_000_000, sparse: [] }), content: Buffer.alloc(0) },
      { entry: tarEntry('after', 'file', { size: 2 }), content: Buffer.from('ok') },
    ]);
    await withTemporaryDirectory(async (directory) => {
      writeFileSync(path.join(directory, 'sparse.tar'), archive);
      await run('tar', ['-xf', 'sparse.tar'], { cwd: directory });
      const expected = Buffer.alloc(20_000_000);
      expected.write('one', 99_840);
      expected.write('two!', 10_000_000);
      expect(readFileSync(path.join(directory, 'holes')).equals(expected)).toBe(true);
      expect(statSync(path.join(directory, 'nothing')).size).toBe(5_000_000);
      expect(readFileSync(path.join(directory, 'after'), 'utf8')).toBe('ok');
    });
  });

  it('is 512 bytes when ustar can say it all', () => {
    expect(tarHeader(tarEntry('usr/bin/tool', 'file', { size: 100 }))).toHaveLength(512);
  });

  it('marks names that are no UTF-8, and only those', () => {
    const textOf = (name: string) => Buffer.from(tarHeader(tarEntry(name, 'file'))).toString('latin1');
    expect(textOf('\xff')).toContain('21 hdrcharset=BINARY\n');
    expect(textOf(byteStringFromText('é'))).not.toContain('hdrcharset');
  });

  it('refuses device numbers that ustar cannot hold', () => {
    expect(() => tarHeader(tarEntry('d', 'char', { major: 2 ** 21 }))).toThrow(RangeError);
  });

  it('ends an archive with two zero blocks', () => {
    expect(tarEnd).toEqual(new Uint8Array(1024));
  });
});
