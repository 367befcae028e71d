import type { BlobMetadata } from '../../src/blob/metadata.ts';
import { writeBlobMetadata } from '../../src/blob/writer.ts';
import { byteStringFromText } from '../../src/byte-string.ts';
import { ChunkMap } from '../../src/chunk/chunk-map.ts';
import { hash } from '../../src/digest/hash.ts';
import { fsverityDigest } from '../../src/digest/merkle.ts';
import { noXattrs, S_IFCHR, S_IFDIR, S_IFLNK, S_IFREG } from '../../src/erofs/inode.ts';
import { digestFromBytes } from '../../src/oci/digest.ts';
import type { LayerEntry } from '../../src/tree/layer-entry.ts';
import { compress } from '../../src/zstd/codec.ts';
import { content } from './content.ts';

const base = { uid: 0, gid: 100_000, mtime: 1_700_000_000, mtimeNs: 5, xattrs: noXattrs };
const at = (path: string) => ({ ...base, path: byteStringFromText(path) });

/** Chunks of every sort: compressible, not compressible, zeros. */
const chunks: readonly Uint8Array[] = [
  Buffer.alloc(40_960, 'some text that compresses well\n'),
  content('incompressible', 65_536),
  new Uint8Array(131_072),
  content('last', 4096),
];

export const sampleDevice: Uint8Array = Buffer.concat(chunks);

const entries: readonly LayerEntry[] = [
  { ...at('usr/'), kind: 'directory', mode: S_IFDIR | 0o755 },
  {
    ...at('usr/text'),
    kind: 'file',
    mode: S_IFREG | 0o4755,
    size: 100_000,
    extents: [{ offset: 0, length: 100_000, device: 1, deviceOffset: 0 }],
    xattrs: new Map([[byteStringFromText('security.capability'), content('xattr', 20)]]),
  },
  {
    ...at('usr/lower'),
    kind: 'file',
    mode: S_IFREG | 0o644,
    size: 2 ** 33,
    extents: [
      { offset: 0, length: 4096, device: 0, deviceOffset: 8192 },
      { offset: 2 ** 32, length: 4000, device: 1, deviceOffset: 237_568 },
    ],
  },
  { ...at('usr/link'), kind: 'symlink', mode: S_IFLNK | 0o777, target: byteStringFromText('text') },
  { ...at('usr/hard'), kind: 'hardlink', mode: S_IFREG | 0o644, target: byteStringFromText('usr/text') },
  { ...at('null'), mtime: -1, kind: 'special', mode: S_IFCHR | 0o666, major: 1, minor: 3 },
];

/** A small layer blob with every kind of entry and chunk. */
export function sampleBlob(): {
  readonly blob: Uint8Array;
  readonly metadata: BlobMetadata;
  readonly frame: Uint8Array;
} {
  const frames = chunks.map((chunk) => compress(chunk, 3));
  const metadata: BlobMetadata = {
    entries,
    fileDigests: new Map([[1, content('digest', 32)]]),
    chunks: ChunkMap.fromChunks(
      chunks.map((chunk, i) => ({
        length: chunk.length,
        compressedLength: frames[i]?.length ?? 0,
        digest: hash('sha256', chunk),
      })),
    ),
    algorithm: 'sha256',
    verityDigest: fsverityDigest(sampleDevice),
    chain: [digestFromBytes(content('lower', 32))],
    layerKey: 'sample',
  };
  const frame = writeBlobMetadata(metadata);
  return { blob: Buffer.concat([...frames, frame]), metadata, frame };
}
