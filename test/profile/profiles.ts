import fc from 'fast-check';
import { type ByteString, byteString, byteStringFromText } from '../../src/byte-string.ts';
import { digestFromBytes } from '../../src/oci/digest.ts';
import type { Profile } from '../../src/profile/profile.ts';

export const sampleRoot = digestFromBytes(Buffer.alloc(32, 7));

/** A profile with a path of every kind: text, more than ASCII, no UTF-8, and a control character. */
export const sampleProfile: Profile = {
  name: 'default',
  root: sampleRoot,
  runs: 1,
  pageExact: true,
  files: [
    byteStringFromText('/usr/bin/sh'),
    byteStringFromText('/etc/größe'),
    byteString(Buffer.from('/etc/\xf6', 'latin1')),
    byteStringFromText('/a\nb'),
  ],
  reads: [
    { file: 0, page: 0, pages: 2 },
    { file: 1, page: 0, pages: 1 },
    { file: 2, page: 7, pages: 3 },
    { file: 3, page: 2, pages: 1 },
  ],
};

const pathName = fc
  .uint8Array({ minLength: 1, maxLength: 12 })
  .map((bytes) => byteString(bytes.map((byte) => (byte === 0 || byte === 0x2f ? 0x61 : byte))))
  .filter((name) => name !== '.' && name !== '..');

const paths = fc.uniqueArray(
  fc.array(pathName, { minLength: 1, maxLength: 4 }).map((names) => `/${names.join('/')}` as ByteString),
  { minLength: 1, maxLength: 6 },
);

/** Any profile that may be parsed; pages of few numbers, so that two of them have some in common. */
export function anyProfile(files: fc.Arbitrary<readonly ByteString[]> = paths): fc.Arbitrary<Profile> {
  return files.chain((files) =>
    fc.record({
      name: fc.constantFrom('default', '0', 'a..', '-_.x', 'x'.repeat(64)),
      root: fc.uint8Array({ minLength: 32, maxLength: 32 }).map(digestFromBytes),
      runs: fc.integer({ min: 1, max: 1000 }),
      pageExact: fc.boolean(),
      files: fc.constant(files),
      reads: fc.array(
        fc.record({ file: fc.nat(files.length - 1), page: fc.nat(30), pages: fc.integer({ min: 1, max: 8 }) }),
        { maxLength: 20 },
      ),
    }),
  );
}

/** Every page by name, in order. */
export function pagesOf({ files, reads }: Profile): string[] {
  return reads.flatMap(({ file, page, pages }) =>
    Array.from({ length: pages }, (_, i) => `${files[file]}:${page + i}`),
  );
}
