import { FormatError } from '../errors.ts';
import { MAX_CHUNK_LENGTH, PAGE_SIZE } from './parameters.ts';

/** One chunk as a blob holds it. */
export interface StoredChunk {
  /** Uncompressed bytes, a multiple of the page size. */
  readonly length: number;
  /** Bytes of its zstd frame. */
  readonly compressedLength: number;
  /** 32 bytes, of the uncompressed chunk. */
  readonly digest: Uint8Array;
}

const DIGEST_SIZE = 32;

/**
 * A serialised chunk in bytes: u16 pages, u32 compressed length, digest. Each of the six number bytes is a column of its
 * own, because columns of like bytes compress best (measured: 35.2 bytes a chunk of real images after zstd, 32 of them
 * the digest).
 */
export const SERIALISED_CHUNK_SIZE = 6 + DIGEST_SIZE;

/** A hostile map may cost a reader 48 bytes of memory a chunk: this bounds it to 200 MB. Good for 512 GiB a layer. */
const MAX_CHUNKS = 1 << 22;

/** What a frame may add to its chunk. A longer frame would make a reader fetch bytes for nothing. */
const MAX_FRAME_OVERHEAD = 1024;

/**
 * Where each chunk of a blob lies, in the blob and in the device image: columns over one `SharedArrayBuffer`, which
 * threads share by sending {@link ChunkMap.buffer}. Lookup is a binary search; there is no object per chunk.
 *
 * Layout of the buffer, for n chunks: f64 uncompressed offsets (n + 1), f64 compressed offsets (n + 1), digests (32 n).
 */
export class ChunkMap {
  readonly buffer: SharedArrayBuffer;
  readonly count: number;
  readonly #uncompressed: Float64Array;
  readonly #compressed: Float64Array;
  readonly #digests: Uint8Array;

  /** @param buffer - of another ChunkMap, kept and shared; what it holds was checked when that one was made */
  constructor(buffer: SharedArrayBuffer) {
    const count = (buffer.byteLength - 16) / (16 + DIGEST_SIZE);
    if (!Number.isInteger(count) || count < 0) throw new RangeError('Cannot use buffer: it is of no ChunkMap');
    const column = 8 * (count + 1);
    this.buffer = buffer;
    this.count = count;
    this.#uncompressed = new Float64Array(buffer, 0, count + 1);
    this.#compressed = new Float64Array(buffer, column, count + 1);
    this.#digests = new Uint8Array(buffer, 2 * column);
  }

  /**
   * @param chunks - in the order of the blob; their digests are copied
   * @throws {FormatError} SLUICE_CHUNK_MAP_INVALID when a length is out of bounds
   */
  static fromChunks(chunks: readonly StoredChunk[]): ChunkMap {
    const map = new ChunkMap(allocate(chunks.length));
    for (const [i, chunk] of chunks.entries()) {
      map.#setLengths(i, chunk.length, chunk.compressedLength);
      map.#digests.set(chunk.digest, i * DIGEST_SIZE);
    }
    return map;
  }

  /**
   * Reads what {@link ChunkMap.serialise} wrote.
   * @param bytes - not kept
   * @throws {FormatError} SLUICE_CHUNK_MAP_INVALID when the size or a length is out of bounds
   */
  static parse(bytes: Uint8Array): ChunkMap {
    const count = bytes.length / SERIALISED_CHUNK_SIZE;
    if (!Number.isInteger(count)) throw invalid(`${bytes.length} bytes are no whole number of chunks`);
    const map = new ChunkMap(allocate(count));
    const plane = (index: number): Uint8Array => bytes.subarray(index * count, (index + 1) * count);
    const [p0, p1, c0, c1, c2, c3] = [plane(0), plane(1), plane(2), plane(3), plane(4), plane(5)] as const;
    for (let i = 0; i < count; i++) {
      const pages = (p0[i] ?? 0) + (p1[i] ?? 0) * 0x100;
      const low = (c0[i] ?? 0) + (c1[i] ?? 0) * 0x100;
      const high = (c2[i] ?? 0) + (c3[i] ?? 0) * 0x100;
      map.#setLengths(i, pages * PAGE_SIZE, low + high * 0x10000);
    }
    map.#digests.set(bytes.subarray(6 * count));
    return map;
  }

  /** The columns one after the other: {@link SERIALISED_CHUNK_SIZE} bytes a chunk. Layout: docs/format.md, "Chunk map". */
  serialise(): Uint8Array {
    const { count } = this;
    const bytes = new Uint8Array(count * SERIALISED_CHUNK_SIZE);
    for (let i = 0; i < count; i++) {
      const pages = this.uncompressedLength(i) / PAGE_SIZE;
      const compressed = this.compressedLength(i);
      for (let plane = 0; plane < 2; plane++) bytes[plane * count + i] = pages >>> (8 * plane);
      for (let plane = 0; plane < 4; plane++) bytes[(2 + plane) * count + i] = compressed >>> (8 * plane);
    }
    bytes.set(this.#digests, 6 * count);
    return bytes;
  }

  /** Bytes of the device image. */
  get deviceSize(): number {
    return this.#uncompressed[this.count] ?? 0;
  }

  /** Bytes of all frames: where the metadata frame begins in the blob. */
  get compressedSize(): number {
    return this.#compressed[this.count] ?? 0;
  }

  /** Where chunk `i` begins in the device image. */
  uncompressedOffset(i: number): number {
    return this.#at(this.#uncompressed, i);
  }

  uncompressedLength(i: number): number {
    return this.#at(this.#uncompressed, i + 1) - this.#at(this.#uncompressed, i);
  }

  /** Where the frame of chunk `i` begins in the blob. */
  compressedOffset(i: number): number {
    return this.#at(this.#compressed, i);
  }

  compressedLength(i: number): number {
    return this.#at(this.#compressed, i + 1) - this.#at(this.#compressed, i);
  }

  /** A view of 32 bytes; it lies on shared memory, where TextDecoder and WebCrypto refuse to read. */
  digest(i: number): Uint8Array {
    this.#at(this.#compressed, i + 1);
    return this.#digests.subarray(i * DIGEST_SIZE, (i + 1) * DIGEST_SIZE);
  }

  /** The index of the chunk that holds byte `deviceOffset` of the device image, or -1 outside of it. */
  find(deviceOffset: number): number {
    if (!(deviceOffset >= 0 && deviceOffset < this.deviceSize)) return -1;
    let [low, high] = [0, this.count - 1];
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if ((this.#uncompressed[middle] ?? 0) <= deviceOffset) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  #at(column: Float64Array, i: number): number {
    const value = column[i];
    if (value === undefined) throw new RangeError(`Cannot look up chunk ${i}: the map has ${this.count}`);
    return value;
  }

  #setLengths(i: number, length: number, compressedLength: number): void {
    if (!(length > 0 && length <= MAX_CHUNK_LENGTH && length % PAGE_SIZE === 0)) {
      throw invalid(`chunk ${i} has ${length} bytes`);
    }
    if (!(compressedLength > 0 && compressedLength <= length + MAX_FRAME_OVERHEAD)) {
      throw invalid(`the frame of chunk ${i} has ${compressedLength} bytes for ${length}`);
    }
    // At most 2^22 chunks of 2^24 bytes: the sums stay below 2^53.
    this.#uncompressed[i + 1] = (this.#uncompressed[i] ?? 0) + length;
    this.#compressed[i + 1] = (this.#compressed[i] ?? 0) + compressedLength;
  }
}

function allocate(count: number): SharedArrayBuffer {
  if (count > MAX_CHUNKS) throw invalid(`${count} chunks, more than ${MAX_CHUNKS}`);
  return new SharedArrayBuffer(16 * (count + 1) + DIGEST_SIZE * count);
}

function invalid(why: string): FormatError {
  return new FormatError('SLUICE_CHUNK_MAP_INVALID', `Cannot use chunk map: ${why}`);
}
