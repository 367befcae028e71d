import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ByteString } from '../../src/byte-string.ts';
import { crc32c } from '../../src/erofs/crc32c.ts';
import { superblockFields } from '../../src/erofs/format.ts';
import type { Extent, FileInode } from '../../src/erofs/inode.ts';
import { ErofsReader } from '../../src/erofs/reader.ts';
import { writeErofs } from '../../src/erofs/writer.ts';
import { comparable, devices, directory, extent, file, fixedTree, name, options, recordsOf, trees } from './trees.ts';

function image(): Buffer {
  return Buffer.from(writeErofs(fixedTree(), devices, options).buffer);
}

function open(): ErofsReader {
  return new ErofsReader(image());
}

function find(reader: ErofsReader, path: string): number {
  const parts = path.split('/').filter((part) => part !== '') as ByteString[];
  return parts.reduce((nid, part) => reader.lookup(nid, part) ?? -1, reader.rootNid);
}

/** Makes the superblock's checksum match what it covers. */
function seal(bytes: Buffer): Buffer {
  const field = 1024 + superblockFields.checksum;
  bytes.writeUInt32LE(0, field);
  bytes.writeUInt32LE(crc32c(0xffff_ffff, bytes.subarray(1024, 4096)), field);
  return bytes;
}

describe('ErofsReader', () => {
  it('reads an image on a SharedArrayBuffer, at an offset', () => {
    const shared = new Uint8Array(new SharedArrayBuffer(image().length + 4096), 4096);
    shared.set(image());
    const reader = new ErofsReader(shared);
    expect(comparable(reader.tree())).toEqual(comparable(fixedTree()));
    expect(reader.xattrs(find(reader, 'bin/tool')).get(name('user.origin'))?.buffer).toBeInstanceOf(ArrayBuffer);
  });

  it('says what the superblock says', () => {
    const reader = open();
    expect(reader.devices).toEqual(devices);
    expect(reader.inodeCount).toBe(new Set(recordsOf(fixedTree()).map(({ inode }) => inode)).size);
    expect(reader.superblock).toMatchObject({ buildTime: options.buildTime, uuid: options.uuid, buildTimeNs: 0 });
  });

  it('decodes attributes', () => {
    const reader = open();
    expect(reader.inode(find(reader, 'linked'))).toMatchObject({
      mode: 0o100644,
      size: 5000,
      uid: 100_000,
      gid: 4_000_000_000,
      mtime: -1,
      mtimeNs: 5e8,
      nlink: 2,
      rdev: { major: 0, minor: 0 },
    });
    expect(reader.inode(find(reader, 'device')).rdev).toEqual({ major: 259, minor: 0x12345 });
    expect(reader.readlink(find(reader, 'long'))).toBe('x/'.repeat(2040));
  });

  it('lookup() finds every name of any tree and no other', () => {
    fc.assert(
      fc.property(trees, (root) => {
        const reader = new ErofsReader(writeErofs(root, devices, options));
        const check = (nid: number, known: ReadonlySet<string>): void => {
          for (const item of reader.readDirectory(nid)) {
            expect(reader.lookup(nid, item.name)).toBe(item.nid);
            for (const other of [`${item.name}x`, item.name.slice(0, -1), `\x01${item.name}`] as ByteString[]) {
              if (!known.has(other)) expect(reader.lookup(nid, other)).toBeUndefined();
            }
          }
        };
        for (const item of reader.readDirectory(reader.rootNid)) {
          if (item.type !== 4 || item.name.startsWith('.')) continue;
          check(item.nid, new Set(Array.from(reader.readDirectory(item.nid), (below) => below.name)));
        }
        check(reader.rootNid, new Set(['.', '..', ...root.children.keys()]));
      }),
      { numRuns: 50 },
    );
  });

  it('lookup() finds all of 100,000 names', () => {
    const children = Object.fromEntries(Array.from({ length: 100_000 }, (_, i) => [`n${i * 7}`, file(0)]));
    const reader = new ErofsReader(writeErofs(directory(children), [], options));
    for (let i = 0; i < 100_000; i++) {
      const nid = reader.lookup(reader.rootNid, `n${i * 7}` as ByteString);
      if (nid === undefined) throw new Error(`n${i * 7} is lost`);
    }
    expect(reader.lookup(reader.rootNid, name('n8'))).toBeUndefined();
  });

  it('readDirectory() goes on where a reader stopped, after any item', () => {
    const reader = open();
    const many = find(reader, 'many');
    const all = [...reader.readDirectory(many)];
    expect(all.map((item) => item.name)).toEqual(all.map((item) => item.name).sort());
    expect(all).toHaveLength(202);
    for (const [position, { index }] of all.entries()) {
      expect([...reader.readDirectory(many, index + 1)]).toEqual(all.slice(position + 1));
    }
    const types = Array.from(reader.readDirectory(reader.rootNid), (item) => `${item.name} ${item.type}`);
    expect(types).toEqual(expect.arrayContaining(['. 4', 'device 2', 'fifo 1', 'link 10', 'linked 8']));
  });

  it('mapRange() cuts a read at the borders of holes, devices and file', () => {
    const reader = open();
    const nid = find(reader, 'stitched');
    expect(reader.mapRange(nid, 4000, 20_000)).toEqual([
      { kind: 'device', fileOffset: 4000, length: 4192, device: 2, deviceOffset: 8096 },
      { kind: 'hole', fileOffset: 8192, length: 8192 },
      { kind: 'device', fileOffset: 16_384, length: 7616, device: 0, deviceOffset: 65_536 },
    ]);
    expect(reader.mapRange(nid, 40_950, 100)).toEqual([
      { kind: 'device', fileOffset: 40_950, length: 10, device: 1, deviceOffset: 4086 },
    ]);
    expect(reader.mapRange(nid, 40_960, 1)).toEqual([]);
    expect(reader.mapRange(find(reader, 'hole'), 2 ** 43 - 1, 10)).toEqual([
      { kind: 'hole', fileOffset: 2 ** 43 - 1, length: 10 },
    ]);
  });

  it('mapRange() covers any range as extents() does', () => {
    const place = (extents: readonly Extent[], offset: number): string => {
      const found = extents.find((run) => offset >= run.offset && offset < run.offset + run.length);
      return found === undefined ? 'hole' : `${found.device}:${found.deviceOffset + offset - found.offset}`;
    };
    fc.assert(
      fc.property(trees, fc.nat(2 ** 22), fc.integer({ min: 1, max: 2 ** 17 }), (root, offset, length) => {
        const reader = new ErofsReader(writeErofs(root, devices, options));
        const files = recordsOf(root).filter(({ inode, path }) => inode.kind === 'file' && !path.includes('/', 1));
        for (const { path, inode } of files) {
          const { extents, size } = inode as FileInode;
          const nid = reader.lookup(reader.rootNid, path.slice(1) as ByteString) ?? -1;
          const from = offset % (size + 1);
          let position = from;
          for (const segment of reader.mapRange(nid, from, length)) {
            expect(segment.fileOffset).toBe(position);
            const last = segment.length - 1;
            if (segment.kind === 'device') {
              expect(`${segment.device}:${segment.deviceOffset}`).toBe(place(extents, position));
              expect(`${segment.device}:${segment.deviceOffset + last}`).toBe(place(extents, position + last));
            } else {
              expect(place(extents, position)).toBe('hole');
              expect(place(extents, position + last)).toBe('hole');
            }
            position += segment.length;
          }
          expect(position).toBe(Math.min(size, from + length));
        }
      }),
      { numRuns: 100 },
    );
  });

  it('ignores the bits of a device id that the device table does not need, as Linux does', () => {
    const bytes = image();
    const reader = new ErofsReader(bytes);
    const nid = find(reader, 'bin/tool');
    const { xattrOffset, xattrSize } = reader.inode(nid);
    const device = xattrOffset + xattrSize + 2;
    expect(bytes.readUInt16LE(device)).toBe(1);
    bytes.writeUInt16LE(0xfffc | 1, device);
    expect(reader.extents(nid)).toEqual([extent(0, 100)]);
  });

  it.each([
    ['lookup() in a file', (reader: ErofsReader) => reader.lookup(find(reader, 'linked'), name('a'))],
    ['readDirectory() of a link', (reader: ErofsReader) => reader.readDirectory(find(reader, 'link'))],
    ['readlink() of a directory', (reader: ErofsReader) => reader.readlink(reader.rootNid)],
    ['mapRange() of a directory', (reader: ErofsReader) => reader.mapRange(reader.rootNid, 0, 1)],
    ['extents() of a fifo', (reader: ErofsReader) => reader.extents(find(reader, 'fifo'))],
  ])('refuses %s', (_, call) => {
    expect(() => call(open())).toThrow(expect.objectContaining({ code: 'SLUICE_EROFS_INVALID' }));
  });

  it.each([-1, 0.5, 1e6, 2 ** 53, Number.NaN])('refuses nid %d', (nid) => {
    expect(() => open().inode(nid)).toThrow(expect.objectContaining({ name: 'FormatError' }));
  });
});

describe('an image that is not sound', () => {
  const root = 4096 * 2;
  /** What `damage` returns is the image; where it returns a number it wrote, and the checksum is made to match. */
  const cases: readonly (readonly [what: string, code: string, damage: (bytes: Buffer) => Buffer | number])[] = [
    ['cut inside the superblock', 'OUT_OF_BOUNDS', (bytes) => bytes.subarray(0, 1100)],
    ['cut after the superblock', 'OUT_OF_BOUNDS', (bytes) => bytes.subarray(0, 8192)],
    ['without magic', 'INVALID', (bytes) => bytes.fill(0, 1024, 1028)],
    ['with a wrong checksum', 'INVALID', (bytes) => bytes.fill(1, 2000, 2001)],
    ['with an unknown feature', 'UNSUPPORTED', (bytes) => bytes.writeUInt32LE(0x20c, 1104)],
    ['with blocks of 512 bytes', 'UNSUPPORTED', (bytes) => bytes.writeUInt8(9, 1036)],
    ['with more devices than fit', 'OUT_OF_BOUNDS', (bytes) => bytes.writeUInt16LE(65_535, 1110)],
    ['with its root outside', 'OUT_OF_BOUNDS', (bytes) => bytes.writeUInt16LE(65_535, 1038)],
    ['with a compressed root', 'UNSUPPORTED', (bytes) => bytes.writeUInt16LE(7, root)],
    ['with an inode format of later kernels', 'UNSUPPORTED', (bytes) => bytes.writeUInt16LE(0x15, root)],
    ['with a file as its root', 'INVALID', (bytes) => bytes.writeUInt16LE(0o100644, root + 4)],
    ['with an mtime beyond 2^53', 'INVALID', (bytes) => bytes.writeUInt32LE(0x7fff_ffff, root + 36)],
    ['with 10^9 ns', 'INVALID', (bytes) => bytes.writeUInt32LE(1e9, root + 40)],
  ];

  it.each(cases)('%s is refused', (_, code, damage) => {
    const bytes = image();
    const damaged = damage(bytes);
    const refusal = expect.objectContaining({ name: 'FormatError', code: `SLUICE_EROFS_${code}` });
    expect(() => new ErofsReader(typeof damaged === 'number' ? seal(bytes) : damaged)).toThrow(refusal);
  });

  it('names the unknown feature and where it stands', () => {
    const bytes = image();
    bytes.writeUInt32LE(0x20c, 1104);
    expect(() => new ErofsReader(seal(bytes))).toThrow(
      'Cannot read EROFS image: unknown incompat feature 0x200 at offset 1104',
    );
  });

  it('reports a loop of directories instead of walking it', () => {
    const reader = new ErofsReader(looped());
    expect(() => reader.tree()).toThrow('has two names');
  });

  it('reports directories that share their blocks instead of expanding them', () => {
    const children = Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`name-${i}`.padEnd(100, 'x'), file(0)]));
    const folders = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`d${i}`, directory()]));
    const bytes = Buffer.from(writeErofs(directory({ big: directory(children), ...folders }), [], options).buffer);
    const reader = new ErofsReader(bytes);
    const offset = (nid: number): number => reader.superblock.metaBlkaddr * 4096 + nid * 32;
    const big = offset(find(reader, 'big'));
    for (const key of Object.keys(folders)) {
      const target = offset(find(reader, key));
      bytes.writeUInt16LE(1, target); // flat, without a tail
      bytes.writeUInt32LE(8 * 4096, target + 8);
      bytes.copy(bytes, target + 16, big + 16, big + 20);
    }
    expect(() => new ErofsReader(bytes).tree()).toThrow('overlap');
  });

  /** A directory that holds its parent. */
  function looped(): Buffer {
    const bytes = Buffer.from(writeErofs(directory({ a: directory({ b: directory() }) }), [], options).buffer);
    const reader = new ErofsReader(bytes);
    const a = find(reader, 'a');
    const entry = 4096 + a * 32 + 64 + 2 * 12;
    expect(bytes.readUInt32LE(entry)).toBe(find(reader, 'a/b'));
    bytes.writeUInt32LE(a, entry);
    return bytes;
  }
});

describe('extents that a reader joins', () => {
  it('come back as one', () => {
    const root = directory({ f: file(12_288, [extent(0, 4096), extent(4096, 8192, 0, 4096)]) });
    const reader = new ErofsReader(writeErofs(root, devices, options));
    expect(reader.extents(find(reader, 'f'))).toEqual([extent(0, 12_288)]);
  });

  it.each([
    ['another device', [extent(0, 4096), extent(4096, 4096, 1, 4096)]],
    ['another place', [extent(0, 4096), extent(4096, 4096, 0, 8192)]],
    ['after a hole', [extent(0, 4096), extent(8192, 4096, 0, 4096)]],
  ])('stay apart when the second is in or at %s', (_, extents) => {
    const reader = new ErofsReader(writeErofs(directory({ f: file(12_288, extents) }), devices, options));
    expect(reader.extents(find(reader, 'f'))).toEqual(extents);
  });
});
