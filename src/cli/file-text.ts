import { type ByteString, bytesOf, displayText } from '../byte-string.ts';
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK } from '../erofs/inode.ts';

const typeLetters = new Map([
  [S_IFREG, '-'],
  [S_IFDIR, 'd'],
  [S_IFLNK, 'l'],
  [S_IFCHR, 'c'],
  [S_IFBLK, 'b'],
  [S_IFIFO, 'p'],
  [S_IFSOCK, 's'],
]);

const typeNames = new Map([
  [S_IFREG, 'file'],
  [S_IFDIR, 'directory'],
  [S_IFLNK, 'symlink'],
  [S_IFCHR, 'character device'],
  [S_IFBLK, 'block device'],
  [S_IFIFO, 'fifo'],
  [S_IFSOCK, 'socket'],
]);

/** Of a whole `st_mode`: `directory`. */
export function typeName(mode: number): string {
  return typeNames.get(mode & S_IFMT) ?? 'unknown';
}

/** The ten characters ls(1) shows for a whole `st_mode`: `drwxr-sr-t`. */
export function modeText(mode: number): string {
  const triple = (shift: number, special: number, letter: string): string => {
    const bits = mode >> shift;
    const execute = mode & special ? (bits & 1 ? letter : letter.toUpperCase()) : bits & 1 ? 'x' : '-';
    return `${bits & 4 ? 'r' : '-'}${bits & 2 ? 'w' : '-'}${execute}`;
  };
  const type = typeLetters.get(mode & S_IFMT) ?? '?';
  return `${type}${triple(6, 0o4000, 's')}${triple(3, 0o2000, 's')}${triple(0, 0o1000, 't')}`;
}

/** ISO 8601 in UTC, to the nanosecond where there is a fraction; `@SECONDS` outside of the years Date knows. */
export function timeText(seconds: number, nanoseconds: number): string {
  const date = new Date(seconds * 1000);
  const fraction = nanoseconds === 0 ? '' : `.${String(nanoseconds).padStart(9, '0')}`;
  if (Number.isNaN(date.getTime())) return `@${seconds}${fraction}`;
  return date.toISOString().replace(/\.000Z$/, `${fraction}Z`);
}

/** A byte string in JSON: as text, and in hex under `NAMEHex` where the text is not all of it. */
export function jsonText<Name extends string>(name: Name, value: ByteString): Record<string, string> {
  const text = displayText(value);
  const isExact = Buffer.from(text, 'utf8').equals(bytesOf(value));
  return { [name]: text, ...(isExact ? {} : { [`${name}Hex`]: bytesOf(value).toString('hex') }) };
}
