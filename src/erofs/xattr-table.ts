import { type ByteString, displayText } from '../byte-string.ts';
import { FormatError } from '../errors.ts';
import { NAME_MAX, roundUp, XATTR_ALIGN, XATTR_BODY_SIZE, xattrBodyFields, xattrEntryFields } from './format.ts';
import type { InodeAttributes } from './inode.ts';
import { splitXattrName } from './xattr-name.ts';

/** What stands between an inode and its data. */
export interface XattrBody {
  /** Ids in the shared area. */
  readonly shared: readonly number[];
  readonly inline: readonly Pair[];
  /** Bytes, 0 without xattrs. */
  readonly size: number;
}

type Pair = readonly [name: ByteString, value: Uint8Array];

/** Of an inode without xattrs. */
export const noBody: XattrBody = { shared: [], inline: [], size: 0 };
/** e_value_size is 16 bits: one byte less than Linux allows. */
const maxValueSize = 0xffff;
/** i_xattr_icount is 16 bits, in units of 4 bytes, and counts the 12-byte header as one. */
const maxBodySize = XATTR_BODY_SIZE + (0xffff - 1) * XATTR_ALIGN;
/** h_shared_count is 8 bits. */
const maxShared = 0xff;

/**
 * The xattrs of an image. A pair of name and value that stands on several inodes is stored once, in the shared area;
 * all others lie behind their inode.
 */
export class XattrTable {
  readonly #ids = new Map<string, number>();
  readonly #shared: Pair[] = [];
  #sharedSize = 0;

  /**
   * @param inodes - each inode of the image once, in the order that is to decide the order of the shared area
   * @throws {FormatError} SLUICE_EROFS_INVALID for a name or value EROFS cannot hold
   */
  constructor(inodes: Iterable<InodeAttributes>) {
    const seen = new Set<string>();
    for (const { xattrs } of inodes) {
      for (const pair of sortedPairs(xattrs)) {
        const key = keyOf(pair);
        if (seen.has(key)) this.#share(key, pair);
        else seen.add(key);
      }
    }
  }

  #share(key: string, pair: Pair): void {
    if (this.#ids.has(key)) return;
    this.#ids.set(key, this.#sharedSize / XATTR_ALIGN);
    this.#shared.push(pair);
    this.#sharedSize += entrySize(pair);
  }

  /** Bytes of the shared area. */
  get sharedSize(): number {
    return this.#sharedSize;
  }

  /**
   * @throws {FormatError} SLUICE_EROFS_INVALID when one inode has more than it can hold
   */
  bodyOf(xattrs: InodeAttributes['xattrs']): XattrBody {
    if (xattrs.size === 0) return noBody;
    const shared: number[] = [];
    const inline: Pair[] = [];
    for (const pair of sortedPairs(xattrs)) {
      const id = this.#ids.get(keyOf(pair));
      if (id !== undefined && shared.length < maxShared) shared.push(id);
      else inline.push(pair);
    }
    const size = inline.reduce((sum, pair) => sum + entrySize(pair), XATTR_BODY_SIZE + shared.length * XATTR_ALIGN);
    if (size > maxBodySize) {
      const message = `Cannot write xattrs: ${size} bytes on one inode, at most ${maxBodySize}`;
      throw new FormatError('SLUICE_EROFS_INVALID', message, { facts: { size } });
    }
    return { shared, inline, size };
  }

  writeShared(out: Buffer, offset: number): void {
    let position = offset;
    for (const pair of this.#shared) position = writeEntry(out, position, pair);
  }
}

export function writeXattrBody(out: Buffer, offset: number, body: XattrBody): void {
  if (body.size === 0) return;
  out.writeUInt8(body.shared.length, offset + xattrBodyFields.sharedCount);
  let position = offset + xattrBodyFields.shared;
  for (const id of body.shared) position = out.writeUInt32LE(id, position);
  for (const pair of body.inline) position = writeEntry(out, position, pair);
}

/** i_xattr_icount. */
export function xattrCount(body: XattrBody): number {
  return body.size === 0 ? 0 : (body.size - XATTR_BODY_SIZE) / XATTR_ALIGN + 1;
}

/** By name, so that the order in which a tree was built does not show. */
function sortedPairs(xattrs: InodeAttributes['xattrs']): Pair[] {
  if (xattrs.size < 2) return [...xattrs];
  return [...xattrs].sort(([a], [b]) => (a < b ? -1 : 1));
}

function keyOf([name, value]: Pair): string {
  return `${name}\0${Buffer.from(value.buffer, value.byteOffset, value.length).toString('latin1')}`;
}

function entrySize(pair: Pair): number {
  const [name, value] = pair;
  const { suffix } = splitXattrName(name);
  if (name.length === 0 || name.length > NAME_MAX || name.includes('\0') || value.length > maxValueSize) {
    const facts = { name: displayText(name), size: value.length };
    const message = `Cannot write xattr "${facts.name}" of ${value.length} bytes: EROFS cannot hold it`;
    throw new FormatError('SLUICE_EROFS_INVALID', message, { facts });
  }
  return roundUp(xattrEntryFields.name + suffix.length + value.length, XATTR_ALIGN);
}

function writeEntry(out: Buffer, offset: number, pair: Pair): number {
  const [name, value] = pair;
  const { index, suffix } = splitXattrName(name);
  out.writeUInt8(suffix.length, offset + xattrEntryFields.nameLength);
  out.writeUInt8(index, offset + xattrEntryFields.nameIndex);
  out.writeUInt16LE(value.length, offset + xattrEntryFields.valueSize);
  out.write(suffix, offset + xattrEntryFields.name, 'latin1');
  out.set(value, offset + xattrEntryFields.name + suffix.length);
  return offset + entrySize(pair);
}
