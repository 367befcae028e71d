import { blockSize, type Field, field } from './format.ts';
import { invalidTar } from './limits.ts';

const digit0 = 0x30;
const space = 0x20;

/**
 * Reads a number field: octal digits between spaces and NULs, or GNU's base-256 where the first bit is set
 * (big-endian two's complement). An empty field is 0. Accepts what Go's archive/tar accepts.
 * @throws {FormatError} SLUICE_TAR_INVALID for other characters, and beyond ±2^53
 */
export function readNumber(block: Buffer, { offset, length }: Field, what: string): number {
  const first = block[offset] ?? 0;
  return first & 0x80 ? readBase256(block, offset, length, what) : readOctal(block, offset, length, what);
}

function readOctal(block: Buffer, offset: number, length: number, what: string): number {
  const isPad = (at: number): boolean => block[at] === 0 || block[at] === space;
  let at = offset;
  let end = offset + length;
  while (at < end && isPad(at)) at++;
  while (end > at && isPad(end - 1)) end--;
  let value = 0;
  for (; at < end && block[at] !== 0; at++) {
    const digit = (block[at] ?? 0) - digit0;
    if (digit < 0 || digit > 7) throw invalidTar(`${what} is no octal number`);
    value = value * 8 + digit;
  }
  return value;
}

function readBase256(block: Buffer, offset: number, length: number, what: string): number {
  const negative = ((block[offset] ?? 0) & 0x40) !== 0;
  const invert = negative ? 0xff : 0;
  let value = ((block[offset] ?? 0) ^ invert) & 0x7f;
  for (let at = offset + 1; at < offset + length; at++) value = value * 256 + ((block[at] ?? 0) ^ invert);
  return checkSafe(negative ? -value - 1 : value, what);
}

function checkSafe(value: number, what: string): number {
  if (!Number.isSafeInteger(value)) throw invalidTar(`${what} is beyond 2^53`);
  return value;
}

/**
 * Whether the header's checksum is that of its bytes. Some old writers added the bytes up as signed; either sum will do.
 * Source: POSIX.1-2017 pax, chksum.
 */
export function checksumMatches(block: Buffer): boolean {
  const stored = readNumber(block, field.checksum, 'checksum');
  let unsigned = checksumOf(block);
  if (unsigned === stored) return true;
  for (let at = 0; at < blockSize; at++) {
    const inField = at >= field.checksum.offset && at < field.checksum.offset + field.checksum.length;
    if (!inField && (block[at] ?? 0) > 0x7f) unsigned -= 256;
  }
  return unsigned === stored;
}

/** The sum of a header's bytes, its checksum field counted as spaces. */
export function checksumOf(block: Uint8Array): number {
  let sum = field.checksum.length * space;
  for (let at = 0; at < field.checksum.offset; at++) sum += block[at] ?? 0;
  for (let at = field.typeflag.offset; at < blockSize; at++) sum += block[at] ?? 0;
  return sum;
}

/**
 * Reads a decimal number of a PAX record.
 * @throws {FormatError} SLUICE_TAR_INVALID
 */
export function parseDecimal(text: string, what: string): number {
  if (!/^[+-]?\d{1,20}$/.test(text)) throw invalidTar(`${what} "${text.slice(0, 40)}" is no decimal number`);
  return checkSafe(Number(text), what);
}

/**
 * Reads a PAX time: decimal seconds with an optional fraction, which is cut after nanoseconds.
 * @returns whole seconds, rounded down, and nanoseconds from there (0–999,999,999): -1.5 is -2 and 500,000,000
 * @throws {FormatError} SLUICE_TAR_INVALID
 */
export function parseTime(text: string): { seconds: number; nanoseconds: number } {
  const dot = text.indexOf('.');
  const whole = dot < 0 ? text : text.slice(0, dot);
  const fraction = dot < 0 ? '' : text.slice(dot + 1);
  if (!/^\d*$/.test(fraction)) throw invalidTar(`mtime "${text.slice(0, 40)}" is no time`);
  const seconds = parseDecimal(whole, 'mtime');
  const nanoseconds = Number(fraction.slice(0, 9).padEnd(9, '0'));
  if (nanoseconds === 0 || !whole.startsWith('-')) return { seconds: seconds + 0, nanoseconds };
  return { seconds: seconds - 1, nanoseconds: 1_000_000_000 - nanoseconds };
}
