import { type ByteString, bytesOf } from '../byte-string.ts';
import { typeflag } from './format.ts';
import type { Header } from './header.ts';
import { invalidTar, maxPathBytes, maxXattrNameBytes, maxXattrs, maxXattrValueBytes, overLimit } from './limits.ts';
import { parseDecimal, parseTime } from './numbers.ts';
import type { PaxRecords } from './pax.ts';
import type { TarEntry, TarEntryType } from './reader.ts';

/** What the extended headers in front of a header say about it. */
export interface Extensions {
  pax: PaxRecords;
  gnuName: ByteString | undefined;
  gnuLink: ByteString | undefined;
}

const noXattrs: ReadonlyMap<ByteString, Uint8Array> = new Map();

const types = new Map<number, TarEntryType>([
  [typeflag.oldFile, 'file'],
  [typeflag.file, 'file'],
  [typeflag.contiguous, 'file'],
  [typeflag.gnuSparse, 'file'],
  [typeflag.hardlink, 'hardlink'],
  [typeflag.symlink, 'symlink'],
  [typeflag.char, 'char'],
  [typeflag.block, 'block'],
  [typeflag.directory, 'directory'],
  [typeflag.fifo, 'fifo'],
]);

/**
 * Joins a header and its extensions; the sparse map is the caller's to add. Precedence is that of Go's archive/tar,
 * which containerd reads layers with: GNU long names win over PAX, PAX over the header, and an empty PAX value counts
 * as none.
 * @throws {FormatError} SLUICE_TAR_INVALID for a type nobody can unpack; SLUICE_TAR_LIMIT
 */
export function joinEntry(header: Header, { pax, gnuName, gnuLink }: Extensions): TarEntry {
  const path = checkPath(gnuName || pax.get('path') || header.name);
  const linkTarget = checkPath(gnuLink || pax.get('linkpath') || header.linkName);
  const type = typeOf(header.typeflag, path);
  const isLink = type === 'symlink' || type === 'hardlink';
  const mtime = pax.get('mtime');
  const time = mtime ? parseTime(mtime) : { seconds: header.mtime, nanoseconds: 0 };
  return {
    path,
    linkTarget: isLink ? linkTarget : ('' as ByteString),
    type,
    mode: header.mode & 0o7777,
    uid: ownerId(pax.get('uid'), header.uid, 'uid'),
    gid: ownerId(pax.get('gid'), header.gid, 'gid'),
    size: type === 'file' ? storedSize(header, pax) : 0,
    mtime: time.seconds,
    mtimeNs: time.nanoseconds,
    major: deviceNumber(header.major, 0xfff, 'device major'),
    minor: deviceNumber(header.minor, 0xfffff, 'device minor'),
    xattrs: xattrsOf(pax),
    sparse: undefined,
  };
}

function typeOf(flag: number, path: ByteString): TarEntryType {
  // Only Seventh Edition tars, which had no type for directories, mark them by a slash. So do Go and Python.
  if (flag === typeflag.oldFile && path.endsWith('/')) return 'directory';
  const type = types.get(flag);
  if (type !== undefined) return type;
  const shown = flag > 0x20 && flag < 0x7f ? `"${String.fromCharCode(flag)}"` : `0x${flag.toString(16)}`;
  throw invalidTar(`no file system has entries of type ${shown}`);
}

function storedSize(header: Header, pax: PaxRecords): number {
  const text = pax.get('size');
  const size = text ? parseDecimal(text, 'size') : header.size;
  if (size < 0) throw invalidTar(`size is ${size}`);
  return size;
}

function ownerId(text: ByteString | undefined, value: number, what: string): number {
  const id = text ? parseDecimal(text, what) : value;
  if (id < -(2 ** 31) || id >= 2 ** 32) throw invalidTar(`${what} ${id} has more than 32 bits`);
  // To chown(2), -1 means "leave it", and a new file is root's. Other negative ids are what 32-bit writers made of big ones.
  const unsigned = id >>> 0;
  return unsigned === 0xffff_ffff ? 0 : unsigned;
}

function deviceNumber(value: number, limit: number, what: string): number {
  if (value < 0 || value > limit) throw overLimit(what, value, limit);
  return value;
}

function checkPath(path: ByteString): ByteString {
  if (path.length > maxPathBytes) throw overLimit('length of a path', path.length, maxPathBytes);
  return path;
}

const schily = 'SCHILY.xattr.';
const libarchive = 'LIBARCHIVE.xattr.';

/**
 * Extended attributes in the two forms there are: raw (star, GNU tar, Go, Docker) and encoded (bsdtar, which writes both).
 * containerd honours the raw form alone; what only stands in the other is kept here.
 */
function xattrsOf(pax: PaxRecords): ReadonlyMap<ByteString, Uint8Array> {
  let xattrs: Map<ByteString, Uint8Array> | undefined;
  for (const [keyword, value] of pax) {
    const xattr = xattrOf(keyword, value);
    if (xattr === undefined || (xattr.encoded && pax.has(schily + xattr.name))) continue;
    xattrs ??= new Map();
    xattrs.set(xattr.name as ByteString, xattr.bytes);
    if (xattrs.size > maxXattrs) throw overLimit('number of xattrs', xattrs.size, maxXattrs);
  }
  return xattrs ?? noXattrs;
}

function xattrOf(keyword: string, value: ByteString): { name: string; bytes: Buffer; encoded: boolean } | undefined {
  const encoded = keyword.startsWith(libarchive);
  if (!encoded && !keyword.startsWith(schily)) return undefined;
  const name = encoded ? percentDecoded(keyword.slice(libarchive.length)) : keyword.slice(schily.length);
  const bytes = encoded ? Buffer.from(value, 'base64') : bytesOf(value);
  if (name.length > maxXattrNameBytes) throw overLimit('length of an xattr name', name.length, maxXattrNameBytes);
  if (bytes.length > maxXattrValueBytes) throw overLimit('length of an xattr', bytes.length, maxXattrValueBytes);
  return { name, bytes, encoded };
}

function percentDecoded(text: string): string {
  return text.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}
