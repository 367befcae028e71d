import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ByteString } from '../../src/byte-string.ts';
import { crc32c } from '../../src/erofs/crc32c.ts';
import { dumpErofs } from '../../src/erofs/dump.ts';
import { superblockFields } from '../../src/erofs/format.ts';
import { ErofsReader } from '../../src/erofs/reader.ts';
import { writeErofs } from '../../src/erofs/writer.ts';
import { SluiceError } from '../../src/errors.ts';
import { devices, directory, extent, file, options, special, symlink } from '../erofs/trees.ts';
import { allowSluiceErrors, fuzzProperty } from '../support/fuzz.ts';

const shared = new Map([['user.shared' as ByteString, Buffer.from('value')]]);
const own = new Map([...shared, ['security.own' as ByteString, Buffer.alloc(100, 'v')]]);
const sound = Buffer.from(
  writeErofs(
    directory({
      directory: directory(
        Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`name-${i}`.padEnd(220, 'n'), file(i % 2)])),
      ),
      empty: directory({}, { xattrs: shared }),
      stitched: file(20_000, [extent(0, 4096, 1), extent(8192, 11_808, 2, 40_960)], { xattrs: own }),
      hole: file(2 ** 50),
      link: symlink('directory'),
      long: symlink('x'.repeat(4095)),
      device: special(0o020600, 1, 3),
    }),
    devices,
    options,
  ).buffer,
);

/** Offset of each byte that is not zero: changing padding finds little. */
const used = Array.from(sound.keys()).filter((offset) => offset >= 1024 && sound[offset] !== 0);
const values = fc.oneof(fc.nat(255), fc.constantFrom(0, 1, 0x7f, 0x80, 0xff));
const places = fc.oneof(
  fc.nat(used.length - 1).map((index) => used[index] ?? 0),
  fc.nat(sound.length - 1),
);
const nids = fc.oneof(fc.nat(150), fc.maxSafeNat());
const damages = fc.array(fc.tuple(places, values), { minLength: 1, maxLength: 6 });

/** Asks a reader for everything, the answers thrown away; for a few inodes each way of asking on its own. */
function readEverything(bytes: Buffer, nids: readonly number[]): void {
  const reader = new ErofsReader(bytes);
  allowSluiceErrors(() => reader.tree());
  // The dump asks as much as all the rest together.
  if (nids.length === 0) allowSluiceErrors(() => [...dumpErofs(reader)]);
  for (const nid of nids) {
    allowSluiceErrors(() => reader.lookup(nid, 'name-7' as ByteString));
    allowSluiceErrors(() => [...reader.readDirectory(nid, nid)]);
    allowSluiceErrors(() => reader.readlink(nid));
    allowSluiceErrors(() => reader.xattrs(nid));
    allowSluiceErrors(() => reader.extents(nid));
    allowSluiceErrors(() => reader.mapRange(nid, nid * 1000, 2 ** 17));
  }
}

function seal(bytes: Buffer): void {
  const field = 1024 + superblockFields.checksum;
  bytes.fill(0, field, field + 4).writeUInt32LE(crc32c(0xffff_ffff, bytes.subarray(1024, 4096)), field);
}

describe('ErofsReader on damaged images', () => {
  it('gives a value or a SluiceError', () => {
    const bytes = Buffer.from(sound);
    fuzzProperty(
      20_000,
      fc.property(damages, fc.boolean(), fc.array(nids, { maxLength: 3 }), (damage, sealed, asked) => {
        sound.copy(bytes);
        for (const [offset, value] of damage) bytes[offset] = value;
        if (sealed) seal(bytes);
        allowSluiceErrors(() => readEverything(bytes, asked));
      }),
    );
  });

  it('gives a value or a SluiceError on images cut short', () => {
    for (let length = 0; length < sound.length; length += 61) {
      allowSluiceErrors(() => readEverything(sound.subarray(0, length), [0, 1, 9]));
    }
  });

  it('gives a SluiceError on bytes that are no image', () => {
    fuzzProperty(
      100,
      fc.property(fc.uint8Array({ maxLength: 5000 }), (bytes) => {
        expect(() => new ErofsReader(bytes)).toThrow(SluiceError);
      }),
    );
  });
});
