import type { ByteString } from '../byte-string.ts';
import { type FlatRange, locateFlat } from './flat-data.ts';
import { BLOCK_SIZE, DIRENT_SIZE, directoryType, direntFields, NAME_MAX } from './format.ts';
import { type ImageView, invalid } from './image-view.ts';
import type { ErofsInode } from './inode-reader.ts';

/** One name of a directory. */
export interface DirectoryItem {
  readonly name: ByteString;
  readonly nid: number;
  /** DT_*, 0 for unknown. */
  readonly type: number;
  /** Where to go on: pass `index + 1`. It grows with the name, but not always by one. */
  readonly index: number;
}

/** No block holds more entries: an index is the block's number times this, plus the place in the block. */
const indexesPerBlock = 512;

/** A block of entries; one object is reused for all the blocks that a search looks at. */
class DirectoryBlock {
  readonly #image: ImageView;
  readonly #directory: ErofsInode;
  readonly #range: FlatRange = { start: 0, length: 0 };
  readonly blocks: number;
  #start = 0;
  #end = 0;
  count = 0;

  constructor(image: ImageView, directory: ErofsInode) {
    this.#image = image;
    this.#directory = directory;
    this.blocks = Math.ceil(directory.size / BLOCK_SIZE);
  }

  /** @param block - below `blocks` */
  open(block: number): void {
    locateFlat(this.#image, this.#directory, block * BLOCK_SIZE, this.#range);
    this.#start = this.#range.start;
    const length = Math.min(BLOCK_SIZE, this.#range.length);
    this.#end = this.#start + length;
    const names = length < DIRENT_SIZE ? 0 : this.#image.view.getUint16(this.#start + direntFields.nameOffset, true);
    if (names < DIRENT_SIZE || names >= length || names % DIRENT_SIZE !== 0) {
      const { nid } = this.#directory;
      throw invalid(`names at ${names} of directory block ${block} of nid ${nid}`, { nid, block });
    }
    this.count = names / DIRENT_SIZE;
  }

  nid(entry: number): number {
    return this.#image.safeInteger(this.#start + entry * DIRENT_SIZE + direntFields.nid, 'nid');
  }

  type(entry: number): number {
    return directoryType(this.#image.view.getUint8(this.#start + entry * DIRENT_SIZE + direntFields.type));
  }

  name(entry: number): ByteString {
    const start = this.#nameStart(entry);
    let end = this.#nameEnd(entry, start);
    // Only the last name of a block may be followed by NULs, up to the end of the block.
    if (entry === this.count - 1) {
      const nul = this.#image.bytes.subarray(start, end).indexOf(0);
      if (nul >= 0) end = start + nul;
    }
    const name = this.#image.bytes.toString('latin1', start, end) as ByteString;
    if (name.length === 0 || name.length > NAME_MAX || name.includes('/') || name.includes('\0')) {
      throw invalid(`bad name at offset ${start}`, { nid: this.#directory.nid, offset: start });
    }
    return name;
  }

  /** Below zero when `name` sorts before the entry's, zero when it is the entry's. Builds no string. */
  compare(name: ByteString, entry: number): number {
    const { bytes } = this.#image;
    const start = this.#nameStart(entry);
    const end = this.#nameEnd(entry, start);
    const length = Math.min(name.length, end - start);
    for (let i = 0; i < length; i++) {
      const difference = name.charCodeAt(i) - (bytes[start + i] ?? 0);
      if (difference !== 0) return difference;
    }
    const ended = start + length === end || bytes[start + length] === 0;
    if (name.length > length) return 1;
    return ended ? 0 : -1;
  }

  #nameStart(entry: number): number {
    return this.#start + this.#image.view.getUint16(this.#start + entry * DIRENT_SIZE + direntFields.nameOffset, true);
  }

  #nameEnd(entry: number, start: number): number {
    const end = entry === this.count - 1 ? this.#end : this.#nameStart(entry + 1);
    if (start > end || end > this.#end) throw invalid(`bad name at offset ${start}`, { offset: start });
    return end;
  }
}

/**
 * Finds a name by binary search, first for the block, then in it.
 *
 * @param directory - an inode whose mode says directory
 * @returns the nid, not checked
 * @throws {FormatError} SLUICE_EROFS_INVALID, SLUICE_EROFS_OUT_OF_BOUNDS
 */
export function findName(image: ImageView, directory: ErofsInode, name: ByteString): number | undefined {
  const block = new DirectoryBlock(image, directory);
  // Invariant: block `low` starts at or before the name (if any does), block `high` after it.
  let low = 0;
  let high = block.blocks;
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    block.open(middle);
    if (block.compare(name, 0) < 0) high = middle;
    else low = middle;
  }
  if (high === 0) return undefined;
  block.open(low);
  let first = 0;
  let last = block.count - 1;
  while (first <= last) {
    const middle = (first + last) >>> 1;
    const order = block.compare(name, middle);
    if (order === 0) return block.nid(middle);
    if (order < 0) last = middle - 1;
    else first = middle + 1;
  }
  return undefined;
}

/**
 * The names of a directory in byte order, `.` and `..` in their places.
 *
 * @param startIndex - 0, or one more than the `index` of the last item seen
 * @throws {FormatError} SLUICE_EROFS_INVALID also for names that are out of order or repeated
 */
export function* listDirectory(image: ImageView, directory: ErofsInode, startIndex: number): Generator<DirectoryItem> {
  const block = new DirectoryBlock(image, directory);
  let previous = '';
  let entry = startIndex % indexesPerBlock;
  for (let number = Math.floor(startIndex / indexesPerBlock); number < block.blocks; number++) {
    for (block.open(number); entry < block.count; entry++) {
      const name = block.name(entry);
      if (name <= previous) throw invalid(`names of nid ${directory.nid} are not sorted`, { nid: directory.nid });
      previous = name;
      yield { name, nid: block.nid(entry), type: block.type(entry), index: number * indexesPerBlock + entry };
    }
    entry = 0;
  }
}
