import type { ByteString } from '../byte-string.ts';
import { PAGE_SIZE, paddedSize } from '../chunk/parameters.ts';
import type { FileEntry, LayerEntry } from '../tree/layer-entry.ts';
import { ColumnWriter } from './column.ts';
import {
  type ColumnWriters,
  columnNames,
  entryKinds,
  FLAG_DIGEST,
  FLAG_NEGATIVE_TIME,
  FLAG_SAME_TIME,
  FLAG_XATTRS,
  zigzag,
} from './entry-format.ts';

/**
 * Encodes a layer's entries, in order. {@link readEntries} gives the same back.
 *
 * @param fileDigests - content digests (32 bytes) of files, by entry index
 * @throws {RangeError} for entries that break the rules of LayerEntry (an extent off its page, a negative size)
 */
export function writeEntries(entries: readonly LayerEntry[], fileDigests: ReadonlyMap<number, Uint8Array>): Uint8Array {
  const writer = new EntryWriter();
  for (const [index, entry] of entries.entries()) writer.add(entry, fileDigests.get(index));
  return writer.end(entries.length);
}

class EntryWriter {
  readonly #columns = Object.fromEntries(columnNames.map((name) => [name, new ColumnWriter()])) as ColumnWriters;
  #path: ByteString = '' as ByteString;
  #mtime = 0;
  #mtimeNs = 0;
  /** For each device, where the next extent is expected: behind the last one. */
  readonly #expected = new Map<number, number>();

  add(entry: LayerEntry, digest: Uint8Array | undefined): void {
    const columns = this.#columns;
    const sameTime = entry.mtime === this.#mtime && entry.mtimeNs === this.#mtimeNs;
    columns.flags.number(
      entryKinds.indexOf(entry.kind) +
        (sameTime ? FLAG_SAME_TIME : 0) +
        (!sameTime && entry.mtime < 0 ? FLAG_NEGATIVE_TIME : 0) +
        (entry.xattrs.size > 0 ? FLAG_XATTRS : 0) +
        (digest === undefined ? 0 : FLAG_DIGEST),
    );
    this.#addPath(entry.path);
    columns.mode.number(entry.mode);
    columns.owner.number(entry.uid);
    columns.owner.number(entry.gid);
    if (!sameTime) this.#addTime(entry);
    this.#addKind(entry);
    if (entry.xattrs.size > 0) this.#addXattrs(entry.xattrs);
    if (digest !== undefined) columns.digest.bytes(digest);
  }

  end(count: number): Uint8Array {
    const head = new ColumnWriter();
    head.number(count);
    const columns = columnNames.map((name) => this.#columns[name].written);
    for (const column of columns) head.number(column.length);
    return Buffer.concat([head.written, ...columns]);
  }

  #addPath(path: ByteString): void {
    const columns = this.#columns;
    const shared = sharedLength(this.#path, path);
    columns.pathShared.number(shared);
    columns.pathLength.number(path.length - shared);
    columns.path.text(path.slice(shared));
    this.#path = path;
  }

  #addTime({ mtime, mtimeNs }: LayerEntry): void {
    this.#columns.time.number(Math.abs(mtime));
    this.#columns.time.number(mtimeNs);
    this.#mtime = mtime;
    this.#mtimeNs = mtimeNs;
  }

  #addKind(entry: LayerEntry): void {
    const columns = this.#columns;
    if (entry.kind === 'file') {
      this.#addContent(entry);
    } else if (entry.kind === 'symlink' || entry.kind === 'hardlink') {
      columns.targetLength.number(entry.target.length);
      columns.target.text(entry.target);
    } else if (entry.kind === 'special') {
      columns.device.number(entry.major);
      columns.device.number(entry.minor);
    }
  }

  /** Most files are one extent that begins where the one before ended: then all but the size are 0 and 1. */
  #addContent({ size, extents }: FileEntry): void {
    const columns = this.#columns;
    columns.size.number(size);
    columns.extents.number(extents.length);
    let end = 0;
    for (const { offset, length, device, deviceOffset } of extents) {
      const expected = this.#expected.get(device) ?? 0;
      columns.extents.number((offset - paddedSize(end)) / PAGE_SIZE);
      columns.extents.number(size - offset - length);
      columns.extents.number(device);
      columns.extents.number(zigzag((deviceOffset - expected) / PAGE_SIZE));
      end = offset + length;
      this.#expected.set(device, deviceOffset + paddedSize(length));
    }
  }

  #addXattrs(xattrs: ReadonlyMap<ByteString, Uint8Array>): void {
    const column = this.#columns.xattrs;
    column.number(xattrs.size);
    for (const [name, value] of xattrs) {
      column.number(name.length);
      column.text(name);
      column.number(value.length);
      column.bytes(value);
    }
  }
}

function sharedLength(a: ByteString, b: ByteString): number {
  const limit = Math.min(a.length, b.length);
  let length = 0;
  while (length < limit && a.charCodeAt(length) === b.charCodeAt(length)) length++;
  return length;
}
