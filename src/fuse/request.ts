import type { ByteString } from '../byte-string.ts';
import { FuseError } from '../errors.ts';
import { inHeader, resentBit } from './format.ts';

/** Thrown by the accessors of a request whose body is too short or senseless; the answer is EINVAL. */
export class MalformedRequest extends Error {}

/**
 * Size of the receive buffer. The kernel wants room for `max_write` (4096 here) and a header, at least 8192; the rest
 * lets one BATCH_FORGET carry 4,000 inodes.
 */
const receiveSize = 65536;

/** What stands for {@link resentBit} in a number; the kernel counts requests from 0 and does not come so far. */
const resentMark = 2 ** 52;

/**
 * A 64-bit `unique` as a number: bit 63, which marks a request that comes again, becomes bit 52.
 * @throws {MalformedRequest} when another of the upper bits is set
 */
function uniqueOf(low: number, high: number): number {
  const count = (high & ~resentBit) >>> 0;
  if (count >= 0x100000) throw new MalformedRequest('unique of 2^52 or more');
  return count * 0x100000000 + low + (high >= resentBit ? resentMark : 0);
}

/** The halves of what {@link Request.unique} gave. */
export function halvesOf(unique: number): readonly [low: number, high: number] {
  const count = unique % resentMark;
  const high = Math.floor(count / 0x100000000);
  return [count >>> 0, unique >= resentMark ? (high | resentBit) >>> 0 : high];
}

/**
 * One request, decoded in place: the buffer it was read into, and accessors for what lies there.
 * One object serves all requests of a worker; nothing of a request survives the next `accept`.
 * Offsets of body fields count from the end of `struct fuse_in_header`.
 */
export class Request {
  /** Where the next request is to be read to. */
  readonly buffer: Buffer = Buffer.alloc(receiveSize);
  readonly #view: DataView;
  #end = 0;

  constructor() {
    this.#view = new DataView(this.buffer.buffer, this.buffer.byteOffset, this.buffer.byteLength);
  }

  /**
   * Takes the first `length` bytes of `buffer` as the request.
   * @throws {FuseError} SLUICE_FUSE_PROTOCOL when they are not one whole request
   */
  accept(length: number): void {
    if (length < inHeader.size || length > receiveSize || this.#view.getUint32(inHeader.len, true) !== length) {
      throw new FuseError('SLUICE_FUSE_PROTOCOL', `Cannot decode FUSE request: ${length} bytes are not one request`, {
        facts: { length },
      });
    }
    this.#end = length;
  }

  get opcode(): number {
    return this.#view.getUint32(inHeader.opcode, true);
  }

  /** The inode the request is about. */
  get nodeid(): number {
    return this.#safe(inHeader.nodeid);
  }

  /** The number that ties an answer to its request, as {@link uniqueOf} has it. */
  get unique(): number {
    return uniqueOf(this.uniqueLow, this.uniqueHigh);
  }

  /** The thread that asks, as this process sees it; 0 when it does not. */
  get pid(): number {
    return this.#view.getUint32(inHeader.pid, true);
  }

  /** The two halves of `unique`, which an answer repeats, whatever they are. */
  get uniqueLow(): number {
    return this.#view.getUint32(inHeader.unique, true);
  }
  get uniqueHigh(): number {
    return this.#view.getUint32(inHeader.unique + 4, true);
  }

  /** @throws {MalformedRequest} when the body ends before `size` bytes */
  need(size: number): void {
    if (this.#end - inHeader.size < size) throw new MalformedRequest(`body shorter than ${size} bytes`);
  }

  /** The field must lie in what `need` was asked for; so for `u64`. */
  u32(offset: number): number {
    return this.#view.getUint32(inHeader.size + offset, true);
  }

  /** @throws {MalformedRequest} when the number is 2^53 or more */
  u64(offset: number): number {
    return this.#safe(inHeader.size + offset);
  }

  /** A `unique` in the body. @throws {MalformedRequest} as {@link uniqueOf} */
  uniqueAt(offset: number): number {
    return uniqueOf(this.u32(offset), this.u32(offset + 4));
  }

  /**
   * The name that starts at `offset` of the body and ends before a NUL.
   * @throws {MalformedRequest} when there is none, or no NUL
   */
  name(offset: number): ByteString {
    const start = inHeader.size + offset;
    // The NUL is the last byte of the requests that have one name, which are all that are read here.
    const end = this.#end - 1;
    if (end <= start || this.buffer[end] !== 0) throw new MalformedRequest('no name');
    // A string costs less than a view of the buffer would, and is what file systems look names up by.
    return this.buffer.toString('latin1', start, end) as ByteString;
  }

  #safe(offset: number): number {
    const high = this.#view.getUint32(offset + 4, true);
    if (high > 0x1fffff) throw new MalformedRequest('number of 2^53 or more');
    return high * 0x100000000 + this.#view.getUint32(offset, true);
  }
}
