import { isUtf8 } from 'node:buffer';
import { type ByteString, bytesOf } from '../byte-string.ts';
import { blockSize, type Field, field, paddingAfter, typeflag } from './format.ts';
import { checksumOf } from './numbers.ts';
import type { TarEntry, TarEntryType } from './reader.ts';
import type { DataRun } from './sparse.ts';

/** What ends an archive: two zero blocks. */
export const tarEnd: Uint8Array = new Uint8Array(2 * blockSize);

/** What ustar may hold by the letter of POSIX; other bytes go into a PAX record. */
const printable = /^[ -~]*$/;

/** Zeros that fill up `length` bytes of content to the next block. */
export function tarPadding(length: number): Uint8Array {
  return new Uint8Array(paddingAfter(length));
}

const flags: Record<TarEntryType, number> = {
  file: typeflag.file,
  directory: typeflag.directory,
  symlink: typeflag.symlink,
  hardlink: typeflag.hardlink,
  char: typeflag.char,
  block: typeflag.block,
  fifo: typeflag.fifo,
};

/**
 * Everything of an entry that stands before its content: a PAX header where ustar cannot say it all, the ustar header,
 * and the map of a sparse file (GNU sparse 1.0, which GNU tar, Python and Go read). GNU tar itself wants every run but
 * the last to be a multiple of 512 bytes.
 *
 * What follows is the caller's: the bytes of each run of `sparse`, or `size` bytes, then {@link tarPadding} of their
 * number; {@link tarEnd} after the last entry. The same entry gives the same bytes.
 * @param entry - not kept; a directory's path may end in a slash or not
 * @returns a multiple of 512 bytes, a new buffer
 * @throws {RangeError} for device numbers above 2^21 - 1, which no Linux device has
 */
export function tarHeader(entry: TarEntry): Uint8Array {
  const path = entry.type === 'directory' && !entry.path.endsWith('/') ? `${entry.path}/` : entry.path;
  const map = entry.sparse === undefined ? undefined : sparseMap(entry.sparse, entry.size);
  const size = map === undefined ? entry.size : map.length + storedLength(entry.sparse ?? []);
  const records = paxRecords(entry, path as ByteString, size);
  const baseName = lastName(path);
  const parts: Uint8Array[] = [];
  if (records.length > 0) {
    const content = Buffer.from(records.join(''), 'latin1');
    parts.push(ustarHeader({ ...paxEntry, path: `PaxHeaders/${baseName}`, size: content.length }, typeflag.pax));
    parts.push(content, tarPadding(content.length));
  }
  const shown = map === undefined ? path : `GNUSparseFile.0/${baseName}`;
  parts.push(ustarHeader({ ...entry, path: shown, size }, flags[entry.type]));
  if (map !== undefined) parts.push(map);
  return Buffer.concat(parts);
}

type UstarEntry = Omit<TarEntry, 'path' | 'linkTarget' | 'type' | 'mtimeNs' | 'xattrs' | 'sparse'> & {
  readonly path: string;
  readonly linkTarget: string;
};

const paxEntry: UstarEntry = {
  path: '',
  linkTarget: '',
  mode: 0o644,
  uid: 0,
  gid: 0,
  size: 0,
  mtime: 0,
  major: 0,
  minor: 0,
};

/** One ustar header. What does not fit is cut or zero, for a PAX record in front says it better. */
function ustarHeader(entry: UstarEntry, flag: number): Buffer {
  const block = Buffer.alloc(blockSize);
  writeText(block, field.name, entry.path);
  writeOctal(block, field.mode, entry.mode);
  writeOctal(block, field.uid, entry.uid);
  writeOctal(block, field.gid, entry.gid);
  writeOctal(block, field.size, entry.size);
  writeOctal(block, field.mtime, entry.mtime);
  block[field.typeflag.offset] = flag;
  writeText(block, field.linkName, entry.linkTarget);
  block.write('ustar\x0000', field.magic.offset, 'latin1');
  for (const [place, number] of [[field.major, entry.major] as const, [field.minor, entry.minor] as const]) {
    if (!fitsOctal(place, number)) throw new RangeError(`Cannot write device number ${number}: ustar ends at 2097151`);
    writeOctal(block, place, number);
  }
  block.write(`${checksumOf(block).toString(8).padStart(6, '0')}\0 `, field.checksum.offset, 'latin1');
  return block;
}

function writeText(block: Buffer, { offset, length }: Field, text: string): void {
  block.write(text, offset, length, 'latin1');
}

function fitsOctal({ length }: Field, value: number): boolean {
  return value >= 0 && value < 8 ** (length - 1);
}

function writeOctal(block: Buffer, place: Field, value: number): void {
  const digits = fitsOctal(place, value) ? value.toString(8) : '';
  block.write(digits.padStart(place.length - 1, '0'), place.offset, 'latin1');
}

/** The records ustar needs the help of, in a fixed order. */
function paxRecords(entry: TarEntry, path: ByteString, size: number): string[] {
  const records: string[] = [];
  const add = (keyword: string, value: string): void => {
    records.push(paxRecord(keyword, value));
  };
  if (!isUtf8(bytesOf(path)) || !isUtf8(bytesOf(entry.linkTarget))) add('hdrcharset', 'BINARY');
  if (!fitsText(path, field.name) && entry.sparse === undefined) add('path', path);
  if (!fitsText(entry.linkTarget, field.linkName)) add('linkpath', entry.linkTarget);
  if (!fitsOctal(field.uid, entry.uid)) add('uid', `${entry.uid}`);
  if (!fitsOctal(field.gid, entry.gid)) add('gid', `${entry.gid}`);
  if (!fitsOctal(field.size, size)) add('size', `${size}`);
  if (entry.mtimeNs !== 0 || !fitsOctal(field.mtime, entry.mtime)) add('mtime', paxTime(entry.mtime, entry.mtimeNs));
  if (entry.sparse !== undefined) {
    add('GNU.sparse.major', '1');
    add('GNU.sparse.minor', '0');
    add('GNU.sparse.name', path);
    add('GNU.sparse.realsize', `${entry.size}`);
  }
  for (const [name, value] of entry.xattrs) add(`SCHILY.xattr.${name}`, Buffer.from(value).toString('latin1'));
  return records;
}

/** `LENGTH KEYWORD=VALUE\n`, where the length counts its own digits. Source: POSIX.1-2017 pax, pax Header Block. */
function paxRecord(keyword: string, value: string): string {
  const rest = keyword.length + value.length + 3;
  let length = rest + `${rest}`.length;
  length = rest + `${length}`.length;
  return `${length} ${keyword}=${value}\n`;
}

function paxTime(seconds: number, nanoseconds: number): string {
  const negative = seconds < 0;
  const borrow = negative && nanoseconds > 0;
  const whole = Math.abs(borrow ? seconds + 1 : seconds);
  const fraction = borrow ? 1_000_000_000 - nanoseconds : nanoseconds;
  const decimals = fraction === 0 ? '' : `.${`${fraction}`.padStart(9, '0').replace(/0+$/, '')}`;
  return `${negative ? '-' : ''}${whole}${decimals}`;
}

function fitsText(text: string, { length }: Field): boolean {
  return text.length <= length && printable.test(text);
}

function lastName(path: string): string {
  const trimmed = path.replace(/\/+$/, '');
  return trimmed
    .slice(trimmed.lastIndexOf('/') + 1)
    .replace(/[^ -~]/g, '_')
    .slice(0, 80);
}

/** Closes with an empty run where a hole ends the file, as GNU tar does; it cannot read a map without any run. */
function sparseMap(runs: readonly DataRun[], size: number): Buffer {
  const last = runs.at(-1);
  const isClosed = last !== undefined && last.offset + last.length === size;
  const closed = isClosed ? runs : [...runs, { offset: size, length: 0 }];
  const numbers = [closed.length, ...closed.flatMap(({ offset, length }) => [offset, length])];
  const text = numbers.map((number) => `${number}\n`).join('');
  return Buffer.from(text.padEnd(text.length + paddingAfter(text.length), '\0'), 'latin1');
}

function storedLength(runs: readonly DataRun[]): number {
  return runs.reduce((sum, { length }) => sum + length, 0);
}
