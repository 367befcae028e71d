import fc from 'fast-check';
import { byteString } from '../../src/byte-string.ts';
import type { Extent } from '../../src/erofs/inode.ts';
import { noXattrs, S_IFCHR, S_IFDIR, S_IFLNK, S_IFREG } from '../../src/erofs/inode.ts';
import type { LayerEntry } from '../../src/tree/layer-entry.ts';

const bytes = (maxLength: number) => fc.uint8Array({ maxLength }).map(byteString);

const attributes = fc.record({
  path: fc.oneof(
    bytes(20),
    fc.constantFrom('usr/', 'usr/lib/', 'usr/lib/libc.so').map((p) => byteString(Buffer.from(p))),
  ),
  uid: fc.oneof(fc.constant(0), fc.nat(2 ** 32 - 1)),
  gid: fc.oneof(fc.constant(0), fc.nat(2 ** 32 - 1)),
  mtime: fc.oneof(fc.constant(1_700_000_000), fc.integer({ min: -(2 ** 53) + 1, max: 2 ** 53 - 1 })),
  mtimeNs: fc.oneof(fc.constant(0), fc.nat(999_999_999)),
  xattrs: fc.oneof(
    { weight: 4, arbitrary: fc.constant(noXattrs) },
    {
      weight: 1,
      arbitrary: fc
        .array(fc.tuple(bytes(20), fc.uint8Array({ maxLength: 40 })), { minLength: 1, maxLength: 3 })
        .map((list) => new Map(list)),
    },
  ),
});

const permissions = fc.nat(0o7777);

/** Extents as the converter makes them, in devices 0 to 2; device 2 is large enough for all. */
const content = fc
  .array(fc.tuple(fc.nat(2), fc.integer({ min: 1, max: 30_000 }), fc.nat(2), fc.nat(50)), { maxLength: 3 })
  .map((list) => {
    const extents: Extent[] = [];
    let end = 0;
    for (const [hole, length, device, page] of list) {
      const offset = Math.ceil(end / 4096) * 4096 + hole * 4096;
      const previous = extents.at(-1);
      if (previous !== undefined) {
        extents[extents.length - 1] = { ...previous, length: Math.ceil(previous.length / 4096) * 4096 };
      }
      extents.push({ offset, length, device, deviceOffset: page * 4096 });
      end = offset + length;
    }
    return { end, extents };
  });

/** Any entries a layer may have; files refer to devices 0, 1 and 2. */
export const anyEntries: fc.Arbitrary<LayerEntry[]> = fc.array(
  fc.oneof(
    fc.tuple(attributes, permissions, content, fc.nat(2 ** 40)).map(
      ([base, mode, { end, extents }, hole]): LayerEntry => ({
        ...base,
        kind: 'file',
        mode: S_IFREG | mode,
        size: end + hole,
        extents,
      }),
    ),
    fc
      .tuple(attributes, permissions)
      .map(([base, mode]): LayerEntry => ({ ...base, kind: 'directory', mode: S_IFDIR | mode })),
    fc
      .tuple(attributes, bytes(30))
      .map(([base, target]): LayerEntry => ({ ...base, kind: 'symlink', mode: S_IFLNK | 0o777, target })),
    fc
      .tuple(attributes, permissions, bytes(30))
      .map(([base, mode, target]): LayerEntry => ({ ...base, kind: 'hardlink', mode: S_IFREG | mode, target })),
    fc
      .tuple(attributes, permissions, fc.nat(4095), fc.nat(2 ** 20 - 1))
      .map(
        ([base, mode, major, minor]): LayerEntry => ({ ...base, kind: 'special', mode: S_IFCHR | mode, major, minor }),
      ),
  ),
  { maxLength: 25 },
);
