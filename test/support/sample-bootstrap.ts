import { writeBootstrap } from '../../src/bootstrap/writer.ts';
import { type ByteString, byteStringFromText } from '../../src/byte-string.ts';
import { ChunkMap } from '../../src/chunk/chunk-map.ts';
import { hash } from '../../src/digest/hash.ts';
import { fsverityDigest } from '../../src/digest/merkle.ts';
import {
  type DirectoryInode,
  type Extent,
  type Inode,
  noXattrs,
  S_IFDIR,
  S_IFLNK,
  S_IFREG,
} from '../../src/erofs/inode.ts';
import { digestFromBytes } from '../../src/oci/digest.ts';
import { content } from './content.ts';

const base = { uid: 0, gid: 0, mtime: 1_700_000_000, mtimeNs: 0, xattrs: noXattrs };

export function directory(children: Record<string, Inode>): DirectoryInode {
  const entries = Object.entries(children).map(([name, inode]): [ByteString, Inode] => [
    byteStringFromText(name),
    inode,
  ]);
  return { ...base, kind: 'directory', mode: S_IFDIR | 0o755, children: new Map(entries) };
}

export function file(size: number, extents: readonly Extent[]): Inode {
  return { ...base, kind: 'file', mode: S_IFREG | 0o644, size, extents };
}

export interface SampleDevice {
  readonly image: Uint8Array;
  readonly chunks: ChunkMap;
  readonly verityDigest: Uint8Array;
}

/** A device of random bytes, cut into chunks of the given lengths. */
export function sampleDevice(seed: string, lengths: readonly number[]): SampleDevice {
  const image = content(
    seed,
    lengths.reduce((sum, length) => sum + length, 0),
  );
  let end = 0;
  const chunks = lengths.map((length) => {
    end += length;
    return { length, compressedLength: length / 2, digest: hash('sha256', image.subarray(end - length, end)) };
  });
  return { image, chunks: ChunkMap.fromChunks(chunks), verityDigest: fsverityDigest(image) };
}

export const sampleDevices: readonly SampleDevice[] = [
  sampleDevice('one', [8192, 4096, 32768]),
  sampleDevice('two', []),
  sampleDevice(
    'three',
    Array.from({ length: 40 }, (_, i) => 4096 * (1 + (i % 7))),
  ),
];

const tree = directory({
  empty: file(0, []),
  small: file(100, [{ offset: 0, length: 100, device: 0, deviceOffset: 8192 }]),
  spread: file(300_000, [
    { offset: 0, length: 40_960, device: 2, deviceOffset: 4096 },
    { offset: 81_920, length: 20_480, device: 0, deviceOffset: 4096 },
    { offset: 204_800, length: 90_112, device: 2, deviceOffset: 65_536 },
  ]),
  link: { ...base, kind: 'symlink', mode: S_IFLNK | 0o777, target: byteStringFromText('small') },
  sub: directory({ other: file(5, [{ offset: 0, length: 5, device: 2, deviceOffset: 0 }]) }),
});

/** A small bootstrap of three devices, one of which is empty. */
export function sampleBootstrap(): Uint8Array<ArrayBuffer> {
  const devices = sampleDevices.map(({ chunks, verityDigest }, i) => ({
    blob: digestFromBytes(content(`blob ${i}`, 32)),
    blobSize: chunks.compressedSize + 1000 + i,
    chunks,
    verityDigest,
  }));
  return writeBootstrap({ tree, devices, algorithm: 'sha256' });
}
