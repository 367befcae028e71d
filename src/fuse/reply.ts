import { attr, attrOut, dirent, entryOut, getxattrOut, kstatfs, lseekOut, outHeader } from './format.ts';
import type { FileAttributes, FileSystemStatistics } from './operations.ts';

/** The most one READ may ask for: 256 pages, the most the kernel puts into one request by default. */
export const maximumRead = 1 << 20;

/** 2^32 seconds are 136 years: for how long what an immutable file system says holds. */
const forever = 0xffffffff;

/** Preferred I/O size, `st_blksize`. */
const preferredSize = 4096;

/** The longest name of a directory entry, what statfs(2) shows as `f_namelen`. */
const maximumName = 255;

/**
 * The answer to one request, encoded in place: `struct fuse_out_header`, then the body. One object serves all requests
 * of a worker. Each encoder starts at the beginning of the body and returns the body's length.
 */
export class Reply {
  /** The whole answer. */
  readonly buffer: Buffer = Buffer.alloc(outHeader.size + maximumRead);
  /** The body: 1 MiB, the same memory as `buffer`. Holds what the last request left there. */
  readonly data: Buffer = this.buffer.subarray(outHeader.size);
  readonly #view = new DataView(this.buffer.buffer, this.buffer.byteOffset, this.buffer.byteLength);
  readonly #validSeconds: number;
  #directoryLimit = 0;
  #directoryLength = 0;

  /** @param validSeconds - how long the kernel may keep names and attributes without asking again */
  constructor(validSeconds: number = forever) {
    this.#validSeconds = validSeconds;
  }

  /** An inode found by name. */
  entry(nodeid: number, attributes: FileAttributes): number {
    this.#putEntry(outHeader.size, nodeid, attributes);
    return entryOut.size;
  }

  /** A name that does not exist, and will not. */
  noEntry(): number {
    for (let at = 0; at < entryOut.size; at += 8) this.#put64(outHeader.size + at, 0);
    this.#put64(outHeader.size + entryOut.entryValid, this.#validSeconds);
    return entryOut.size;
  }

  /** The answer to `getattr`. */
  attributes(attributes: FileAttributes): number {
    const at = outHeader.size;
    this.#put64(at + attrOut.attrValid, this.#validSeconds);
    this.#put64(at + attrOut.attrValidNsec, 0);
    this.#putAttributes(at + attrOut.attr, attributes);
    return attrOut.size;
  }

  /** Any bytes, copied: a link target, the value of an extended attribute. At most 1 MiB. */
  bytes(bytes: Uint8Array): number {
    this.data.set(bytes);
    return bytes.length;
  }

  /** Where data or a hole begins. */
  offset(offset: number): number {
    this.#put64(outHeader.size + lseekOut.offset, offset);
    return lseekOut.size;
  }

  /** How many bytes an extended attribute would take. */
  xattrLength(length: number): number {
    this.#put64(outHeader.size + getxattrOut.length, length);
    return getxattrOut.size;
  }

  statistics(statistics: FileSystemStatistics): number {
    const at = outHeader.size;
    this.data.fill(0, 0, kstatfs.size);
    this.#put64(at + kstatfs.blocks, statistics.blocks);
    this.#put64(at + kstatfs.files, statistics.files);
    this.#view.setUint32(at + kstatfs.bsize, statistics.blockSize, true);
    this.#view.setUint32(at + kstatfs.namelen, maximumName, true);
    this.#view.setUint32(at + kstatfs.frsize, statistics.blockSize, true);
    return kstatfs.size;
  }

  /** Begins a part of a directory of at most `limit` bytes; the dispatcher does, before it calls an operation. */
  beginDirectory(limit: number): void {
    this.#directoryLimit = Math.min(limit, maximumRead);
    this.#directoryLength = 0;
  }

  /** Length so far of the entries put since the request began. */
  get directoryLength(): number {
    return this.#directoryLength;
  }

  /**
   * Appends an entry to the answer of `readdir`.
   * @param name - bytes as in a `ByteString`
   * @param ino - what `d_ino` says
   * @param type - `DT_*`, which is `mode >> 12`
   * @param next - cookie of the entry after this one, not 0
   * @returns false, and appends nothing, when there is no room: the request is done
   */
  directoryEntry(name: string, ino: number, type: number, next: number): boolean {
    const at = this.#reserve(dirent.name, name.length);
    if (at < 0) return false;
    this.#putDirent(at, name, ino, type, next);
    return true;
  }

  /**
   * Appends an entry to the answer of `readdirplus`.
   * @param nodeid - of the inode, which counts as one lookup of it; 0 for `.` and `..`
   * @returns as `directoryEntry` does
   */
  directoryEntryPlus(name: string, nodeid: number, attributes: FileAttributes, next: number): boolean {
    const at = this.#reserve(entryOut.size + dirent.name, name.length);
    if (at < 0) return false;
    this.#putEntry(at, nodeid, attributes);
    this.#putDirent(at + entryOut.size, name, attributes.ino, attributes.mode >>> 12, next);
    return true;
  }

  /**
   * Completes the answer.
   * @param error - 0 or a negative errno
   * @param bodyLength - bytes of `data` that belong to it
   * @returns length of the whole answer in `buffer`
   */
  finish(uniqueLow: number, uniqueHigh: number, error: number, bodyLength: number): number {
    const length = outHeader.size + bodyLength;
    this.#view.setUint32(outHeader.len, length, true);
    this.#view.setInt32(outHeader.error, error, true);
    this.#view.setUint32(outHeader.unique, uniqueLow, true);
    this.#view.setUint32(outHeader.unique + 4, uniqueHigh, true);
    return length;
  }

  /** @returns where in `buffer` the next record goes, -1 when it does not fit */
  #reserve(header: number, nameLength: number): number {
    const start = this.#directoryLength;
    const end = start + ((header + nameLength + 7) & ~7);
    if (end > this.#directoryLimit) return -1;
    this.#directoryLength = end;
    return outHeader.size + start;
  }

  #putDirent(at: number, name: string, ino: number, type: number, next: number): void {
    this.#put64(at + dirent.ino, ino);
    this.#put64(at + dirent.off, next);
    this.#view.setUint32(at + dirent.namelen, name.length, true);
    this.#view.setUint32(at + dirent.type, type, true);
    const start = at + dirent.name;
    // A call into C++ costs more than a short loop. The up to 7 bytes of padding are never looked at.
    if (name.length > 32) this.buffer.write(name, start, 'latin1');
    else for (let i = 0; i < name.length; i++) this.buffer[start + i] = name.charCodeAt(i);
  }

  #putEntry(at: number, nodeid: number, attributes: FileAttributes): void {
    this.#put64(at + entryOut.nodeid, nodeid);
    this.#put64(at + entryOut.generation, 0);
    this.#put64(at + entryOut.entryValid, this.#validSeconds);
    this.#put64(at + entryOut.attrValid, this.#validSeconds);
    this.#put64(at + entryOut.entryValidNsec, 0);
    this.#putAttributes(at + entryOut.attr, attributes);
  }

  #putAttributes(at: number, attributes: FileAttributes): void {
    const view = this.#view;
    const { mtime, mtimeNs } = attributes;
    this.#put64(at + attr.ino, attributes.ino);
    this.#put64(at + attr.size, attributes.size);
    this.#put64(at + attr.blocks, attributes.blocks);
    this.#put64(at + attr.atime, mtime);
    this.#put64(at + attr.mtime, mtime);
    this.#put64(at + attr.ctime, mtime);
    view.setUint32(at + attr.atimensec, mtimeNs, true);
    view.setUint32(at + attr.mtimensec, mtimeNs, true);
    view.setUint32(at + attr.ctimensec, mtimeNs, true);
    view.setUint32(at + attr.mode, attributes.mode, true);
    view.setUint32(at + attr.nlink, attributes.nlink, true);
    view.setUint32(at + attr.uid, attributes.uid, true);
    view.setUint32(at + attr.gid, attributes.gid, true);
    view.setUint32(at + attr.rdev, attributes.rdev, true);
    view.setUint32(at + attr.blksize, preferredSize, true);
    view.setUint32(at + attr.flags, 0, true);
  }

  /** Two's complement, so that times before 1970 come out right. */
  #put64(at: number, value: number): void {
    this.#view.setUint32(at, value, true);
    this.#view.setUint32(at + 4, Math.floor(value / 0x100000000), true);
  }
}
