import type { ByteString } from '../byte-string.ts';
import { FormatError } from '../errors.ts';

/**
 * Appends numbers and bytes to a buffer that grows. Numbers are LEB128: seven bits a byte, the lowest first, the top bit
 * set in all but the last byte.
 */
export class ColumnWriter {
  #bytes = Buffer.allocUnsafe(1024);
  #length = 0;

  /** A view, valid until the next write. */
  get written(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  /** @param value - a safe integer, not negative */
  number(value: number): void {
    if (!(Number.isSafeInteger(value) && value >= 0)) throw new RangeError(`Cannot encode ${value}`);
    this.#reserve(8);
    let rest = value;
    while (rest >= 0x80) {
      this.#bytes[this.#length++] = (rest % 0x80) + 0x80;
      rest = Math.floor(rest / 0x80);
    }
    this.#bytes[this.#length++] = rest;
  }

  bytes(value: Uint8Array): void {
    this.#reserve(value.length);
    this.#bytes.set(value, this.#length);
    this.#length += value.length;
  }

  text(value: string): void {
    this.#reserve(value.length);
    this.#length += this.#bytes.write(value, this.#length, 'latin1');
  }

  #reserve(count: number): void {
    if (this.#length + count <= this.#bytes.length) return;
    const grown = Buffer.allocUnsafe(Math.max(this.#bytes.length * 2, this.#length + count));
    grown.set(this.written);
    this.#bytes = grown;
  }
}

/** Reads what {@link ColumnWriter} wrote; never past the end. All methods throw FormatError SLUICE_BLOB_INVALID. */
export class ColumnReader {
  readonly #bytes: Buffer;
  #position = 0;

  /** @param bytes - kept, not changed */
  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  get atEnd(): boolean {
    return this.#position === this.#bytes.length;
  }

  /** A safe integer, not negative and at most `maximum`. */
  number(maximum = Number.MAX_SAFE_INTEGER): number {
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = this.#bytes[this.#position++];
      if (byte === undefined) throw truncated();
      value += (byte & 0x7f) * scale;
      if (value > maximum)
        throw new FormatError('SLUICE_BLOB_INVALID', `Cannot read metadata: a number over ${maximum}`);
      if (byte < 0x80) return value;
      // Eight bytes tell every safe integer; a ninth could only lose bits.
      if (scale > 2 ** 42) throw new FormatError('SLUICE_BLOB_INVALID', 'Cannot read metadata: a number of nine bytes');
      scale *= 0x80;
    }
  }

  /** A view. */
  bytes(length: number): Uint8Array {
    const start = this.#skip(length);
    return new Uint8Array(this.#bytes.buffer, this.#bytes.byteOffset + start, length);
  }

  text(length: number): ByteString {
    const start = this.#skip(length);
    return this.#bytes.toString('latin1', start, start + length) as ByteString;
  }

  #skip(length: number): number {
    if (length > this.#bytes.length - this.#position) throw truncated();
    const start = this.#position;
    this.#position += length;
    return start;
  }
}

function truncated(): FormatError {
  return new FormatError('SLUICE_BLOB_INVALID', 'Cannot read metadata: it is cut short');
}
