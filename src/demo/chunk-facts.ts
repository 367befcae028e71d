import type { Bootstrap } from '../bootstrap/bootstrap.ts';
import { type ChunkSegment, planRead } from '../bootstrap/plan-read.ts';
import { byteStringFromText } from '../byte-string.ts';
import { S_IFMT, S_IFREG } from '../erofs/inode.ts';
import type { ErofsInode } from '../erofs/inode-reader.ts';
import { listPath } from '../image/list-path.ts';
import { resolvePath } from '../image/resolve-path.ts';
import type { Digest } from '../oci/digest.ts';

/** A byte of a blob. */
export interface BlobPlace {
  readonly blob: Digest;
  readonly offset: number;
}

/** Whether a file of the finished image uses a chunk: hidden ones are those that none does. */
export type IsVisible = (device: number, chunk: number) => boolean;

export function visibleChunks(bootstrap: Bootstrap): IsVisible {
  const visible = bootstrap.devices.map(({ chunks }) => new Uint8Array(chunks.count));
  for (const { files } of listPath(bootstrap.erofs, byteStringFromText('/'), true)) {
    for (const { inode } of files) {
      for (const { device, chunk } of chunksOf(bootstrap, inode)) visible[device]?.fill(1, chunk, chunk + 1);
    }
  }
  return (device, chunk) => visible[device]?.[chunk] === 1;
}

/** The middle of the first chunk of a file. */
export function placeOf(bootstrap: Bootstrap, file: string): BlobPlace {
  const { inode } = resolvePath(bootstrap.erofs, byteStringFromText(file), 'follow');
  const first = chunksOf(bootstrap, inode)[0];
  const device = bootstrap.devices[first?.device ?? -1];
  if (first === undefined || device === undefined) throw new RangeError(`Cannot damage "${file}": it has no content`);
  const { chunks, blob } = device;
  return { blob, offset: chunks.compressedOffset(first.chunk) + (chunks.compressedLength(first.chunk) >> 1) };
}

function chunksOf(bootstrap: Bootstrap, { nid, mode, size }: ErofsInode): ChunkSegment[] {
  if ((mode & S_IFMT) !== S_IFREG) return [];
  return planRead(bootstrap, nid, 0, size).filter((segment) => segment.kind === 'chunk');
}
