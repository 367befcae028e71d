import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { byteString } from '../../src/byte-string.ts';
import { crc32c } from '../../src/erofs/crc32c.ts';
import { decodeDevice, directoryType, encodeDevice, fileTypeOfMode } from '../../src/erofs/format.ts';
import { joinXattrName, splitXattrName } from '../../src/erofs/xattr-name.ts';
import { name } from './trees.ts';

describe('crc32c()', () => {
  it('agrees with the check value of RFC 3720, B.4 once inverted', () => {
    expect(~crc32c(0xffff_ffff, Buffer.from('123456789')) >>> 0).toBe(0xe306_9283);
    expect(~crc32c(0xffff_ffff, Buffer.alloc(32)) >>> 0).toBe(0x8a91_36aa);
  });
});

describe('encodeDevice()', () => {
  it.each([
    [8, 1, 0x801],
    [0xfff, 0xfffff, 0xffff_ffff],
    [259, 0x12345, 0x1231_0345],
  ])('encodes %d:%d as Linux does', (major, minor, encoded) => {
    expect(encodeDevice(major, minor)).toBe(encoded);
    expect(decodeDevice(encoded)).toEqual({ major, minor });
  });
});

describe('fileTypeOfMode()', () => {
  it('goes both ways for every type there is', () => {
    for (const type of [0o01, 0o02, 0o04, 0o06, 0o10, 0o12, 0o14]) {
      expect(directoryType(fileTypeOfMode((type << 12) | 0o755))).toBe(type);
    }
    expect(fileTypeOfMode(0o755)).toBe(0);
    expect(directoryType(200)).toBe(0);
  });
});

describe('splitXattrName()', () => {
  it.each([
    ['user.a', 1, 'a'],
    ['system.posix_acl_access', 2, ''],
    ['system.posix_acl_default', 3, ''],
    ['trusted.overlay.opaque', 4, 'overlay.opaque'],
    ['security.capability', 6, 'capability'],
    ['system.nfs4_acl', 0, 'system.nfs4_acl'],
    ['system.posix_acl_access2', 0, 'system.posix_acl_access2'],
    ['user.', 0, 'user.'],
  ])('splits %s', (full, index, suffix) => {
    expect(splitXattrName(name(full))).toEqual({ index, suffix });
  });

  it('is undone by joinXattrName()', () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.constantFrom('', 'user.', 'security.', 'system.'), (bytes, prefix) => {
        const full = byteString(Buffer.concat([Buffer.from(prefix), bytes]));
        expect(joinXattrName(splitXattrName(full))).toBe(full);
      }),
    );
    expect(joinXattrName({ index: 5, suffix: 'lov' })).toBeUndefined();
  });
});
