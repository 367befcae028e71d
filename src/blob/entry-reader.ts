import type { ByteString } from '../byte-string.ts';
import { PAGE_SIZE, paddedSize } from '../chunk/parameters.ts';
import { type Extent, type InodeAttributes, noXattrs, S_IFMT } from '../erofs/inode.ts';
import { FormatError } from '../errors.ts';
import type { LayerEntry } from '../tree/layer-entry.ts';
import { ColumnReader } from './column.ts';
import {
  type ColumnReaders,
  columnNames,
  entryKinds,
  FLAG_DIGEST,
  FLAG_NEGATIVE_TIME,
  FLAG_SAME_TIME,
  FLAG_XATTRS,
  typesOfKind,
  unzigzag,
} from './entry-format.ts';

/** An entry costs as little as 7 bytes there and some 300 in memory: this bounds a hostile list to about 1.3 GB. */
const MAX_ENTRIES = 1 << 22;

/** Paths share prefixes, so that a few bytes can stand for a long one: this bounds what all of them unfold to. */
const MAX_PATH_BYTES = 1 << 28;

/** EROFS has 16 bits for a device. */
const MAX_DEVICE = 0xffff;

const U16 = 0xffff;
const U32 = 0xffffffff;
const DIGEST_SIZE = 32;

/** The entries of a layer, and the content digests of its files by entry index. */
export interface DecodedEntries {
  readonly entries: LayerEntry[];
  readonly fileDigests: Map<number, Uint8Array>;
}

/**
 * Decodes what {@link writeEntries} wrote.
 *
 * @param bytes - kept: xattr values and digests are views of it
 * @throws {FormatError} SLUICE_BLOB_INVALID
 */
export function readEntries(bytes: Uint8Array): DecodedEntries {
  const head = new ColumnReader(bytes);
  const count = head.number(MAX_ENTRIES);
  const lengths = columnNames.map(() => head.number(bytes.length));
  const columns = Object.fromEntries(
    columnNames.map((name, i) => [name, new ColumnReader(head.bytes(lengths[i] ?? 0))]),
  ) as ColumnReaders;
  const reader = new EntryReader(columns);
  const entries: LayerEntry[] = [];
  const fileDigests = new Map<number, Uint8Array>();
  for (let index = 0; index < count; index++) {
    const { entry, digest } = reader.next();
    entries.push(entry);
    if (digest !== undefined) fileDigests.set(index, digest);
  }
  if (!head.atEnd || columnNames.some((name) => !columns[name].atEnd)) throw invalid('bytes are left over');
  return { entries, fileDigests };
}

class EntryReader {
  readonly #columns: ColumnReaders;
  #path = '' as ByteString;
  #pathBytes = 0;
  #mtime = 0;
  #mtimeNs = 0;
  /** For each device, where the next extent is expected: behind the last one. */
  readonly #expected = new Map<number, number>();

  constructor(columns: ColumnReaders) {
    this.#columns = columns;
  }

  next(): { entry: LayerEntry; digest: Uint8Array | undefined } {
    const columns = this.#columns;
    const flags = columns.flags.number(0x7f);
    const kind = entryKinds[flags & 7];
    if (kind === undefined) throw invalid(`flags 0x${flags.toString(16)}`);
    const path = this.#readPath();
    const mode = columns.mode.number(U16);
    if (typesOfKind[kind]?.includes(mode & S_IFMT) === false) throw invalid(`mode ${mode.toString(8)} of a ${kind}`);
    const uid = columns.owner.number(U32);
    const gid = columns.owner.number(U32);
    if ((flags & FLAG_SAME_TIME) === 0) this.#readTime((flags & FLAG_NEGATIVE_TIME) !== 0);
    const xattrs = (flags & FLAG_XATTRS) === 0 ? noXattrs : this.#readXattrs();
    const base = { path, mode, uid, gid, mtime: this.#mtime, mtimeNs: this.#mtimeNs, xattrs };
    const entry = this.#readKind(kind, base);
    const digest = (flags & FLAG_DIGEST) === 0 ? undefined : columns.digest.bytes(DIGEST_SIZE);
    return { entry, digest };
  }

  #readPath(): ByteString {
    const { pathShared, pathLength, path } = this.#columns;
    const shared = pathShared.number(this.#path.length);
    const suffix = path.text(pathLength.number());
    this.#pathBytes += shared + suffix.length;
    if (this.#pathBytes > MAX_PATH_BYTES) throw invalid(`paths of more than ${MAX_PATH_BYTES} bytes`);
    this.#path = (this.#path.slice(0, shared) + suffix) as ByteString;
    return this.#path;
  }

  #readTime(negative: boolean): void {
    const seconds = this.#columns.time.number();
    this.#mtime = negative ? 0 - seconds : seconds;
    this.#mtimeNs = this.#columns.time.number(999_999_999);
  }

  #readKind(kind: LayerEntry['kind'], base: InodeAttributes & { path: ByteString }): LayerEntry {
    const columns = this.#columns;
    switch (kind) {
      case 'file': {
        const size = columns.size.number();
        return { ...base, kind, size, extents: this.#readExtents(size) };
      }
      case 'directory':
        return { ...base, kind };
      case 'symlink':
      case 'hardlink':
        return { ...base, kind, target: columns.target.text(columns.targetLength.number()) };
      case 'special':
        return { ...base, kind, major: columns.device.number(U32), minor: columns.device.number(U32) };
    }
  }

  #readExtents(size: number): Extent[] {
    const column = this.#columns.extents;
    const extents: Extent[] = [];
    let end = 0;
    for (let count = column.number(); count > 0; count--) {
      if (end % PAGE_SIZE !== 0) throw invalid('an extent behind one that ends within a page');
      const offset = end + column.number() * PAGE_SIZE;
      const length = size - offset - column.number();
      const device = column.number(MAX_DEVICE);
      const deviceOffset = (this.#expected.get(device) ?? 0) + unzigzag(column.number()) * PAGE_SIZE;
      const deviceEnd = deviceOffset + paddedSize(length);
      if (!(length > 0 && deviceOffset >= 0 && Number.isSafeInteger(deviceEnd)))
        throw invalid('an extent out of bounds');
      extents.push({ offset, length, device, deviceOffset });
      end = offset + length;
      this.#expected.set(device, deviceEnd);
    }
    return extents;
  }

  #readXattrs(): Map<ByteString, Uint8Array> {
    const column = this.#columns.xattrs;
    const xattrs = new Map<ByteString, Uint8Array>();
    for (let count = column.number(); count > 0; count--) {
      const name = column.text(column.number());
      xattrs.set(name, column.bytes(column.number()));
    }
    return xattrs;
  }
}

function invalid(why: string): FormatError {
  return new FormatError('SLUICE_BLOB_INVALID', `Cannot read layer entries: ${why}`);
}
