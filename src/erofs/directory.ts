import { type ByteString, displayText } from '../byte-string.ts';
import { FormatError } from '../errors.ts';
import { BLOCK_SIZE, DIRENT_SIZE, direntFields, fileTypeOfMode, NAME_MAX } from './format.ts';

/** What a dirent points to; the nid may be decided after the directory is packed. */
export interface DirentTarget {
  readonly nid: number;
  readonly inode: { readonly mode: number };
}

/** A directory cut into blocks. */
export interface PackedDirectory {
  /** In byte order, `.` and `..` in their places. */
  readonly names: readonly ByteString[];
  readonly targets: readonly DirentTarget[];
  /** Index of the first entry of each block. */
  readonly starts: readonly number[];
  /** i_size: whole blocks, and what the last one uses. */
  readonly size: number;
}

const dot = '.' as ByteString;
const dotDot = '..' as ByteString;

/** The names of a directory in the kernel's order: by bytes, `.` and `..` like any other name. */
export function sortedNames(children: ReadonlyMap<ByteString, unknown>): ByteString[] {
  return [dot, dotDot, ...children.keys()].sort();
}

/**
 * Fills blocks with entries in order.
 *
 * @param names - sorted, as {@link sortedNames} returns them
 * @param targets - what each name stands for
 * @throws {FormatError} SLUICE_EROFS_INVALID for a name no directory can hold
 */
export function packDirectory(names: readonly ByteString[], targets: readonly DirentTarget[]): PackedDirectory {
  const starts = [0];
  let used = 0;
  names.forEach((name, index) => {
    checkName(name, names[index - 1]);
    const need = DIRENT_SIZE + name.length;
    if (used + need > BLOCK_SIZE) {
      starts.push(index);
      used = 0;
    }
    used += need;
  });
  return { names, targets, starts, size: (starts.length - 1) * BLOCK_SIZE + used };
}

/** Writes block `block` of a directory at `offset` of `out`, whose bytes are zero. */
export function writeDirectoryBlock(out: Buffer, offset: number, directory: PackedDirectory, block: number): void {
  const first = directory.starts[block] ?? 0;
  const last = directory.starts[block + 1] ?? directory.names.length;
  let nameOffset = (last - first) * DIRENT_SIZE;
  for (let index = first; index < last; index++) {
    const name = directory.names[index] ?? '';
    const target = directory.targets[index];
    const entry = offset + (index - first) * DIRENT_SIZE;
    out.writeUInt32LE(target?.nid ?? 0, entry + direntFields.nid);
    out.writeUInt16LE(nameOffset, entry + direntFields.nameOffset);
    out.writeUInt8(fileTypeOfMode(target?.inode.mode ?? 0), entry + direntFields.type);
    out.write(name, offset + nameOffset, 'latin1');
    nameOffset += name.length;
  }
}

function checkName(name: ByteString, previous: ByteString | undefined): void {
  const bad = name.length === 0 || name.length > NAME_MAX || name.includes('/') || name.includes('\0');
  // A child called `.` or `..` shows as a repeated name.
  if (bad || name === previous) {
    const message = `Cannot write directory: bad name "${displayText(name)}"`;
    throw new FormatError('SLUICE_EROFS_INVALID', message, { facts: { length: name.length } });
  }
}
