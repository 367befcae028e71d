import { createHash } from 'node:crypto';
import type { DataPiece } from '../image/read-extents.ts';

const pageSize = 4096;
const zeros = new Uint8Array(64 * 1024);

/**
 * SHA-256 of a whole file, holes as the zeros they read as.
 * @param pieces - what is no hole, in order
 * @param size - of the file, bytes: all of them are hashed
 */
export async function hashFile(pieces: AsyncIterable<DataPiece>, size: number): Promise<string> {
  const hash = createHash('sha256');
  let position = 0;
  const zeroUntil = (end: number): void => {
    for (; position < end; position = Math.min(end, position + zeros.length)) {
      hash.update(zeros.subarray(0, Math.min(zeros.length, end - position)));
    }
  };
  for await (const { offset, bytes } of pieces) {
    zeroUntil(offset);
    hash.update(bytes);
    position = offset + bytes.length;
  }
  zeroUntil(size);
  return hash.digest('hex');
}

/**
 * A digest of a sparse file's content that takes no time for its holes, which cost whoever made the file nothing: of
 * each page that is not all zeros, its offset and its bytes. Equal for files that read alike, wherever their holes are.
 * @param pieces - what is no hole, in order, each beginning at a page
 */
export async function hashPages(pieces: AsyncIterable<DataPiece>): Promise<string> {
  const hash = createHash('sha256');
  const place = Buffer.alloc(8);
  for await (const { offset, bytes } of pieces) {
    for (let at = 0; at < bytes.length; at += pageSize) {
      const page = bytes.subarray(at, at + pageSize);
      if (Buffer.compare(page, zeros.subarray(0, page.length)) === 0) continue;
      place.writeBigUInt64LE(BigInt(offset + at));
      hash.update(place).update(page);
    }
  }
  return hash.digest('hex');
}
