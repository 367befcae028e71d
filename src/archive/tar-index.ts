import { type FileHandle, open } from 'node:fs/promises';
import path from 'node:path';
import { type ByteString, displayText } from '../byte-string.ts';
import { FormatError, NotFoundError } from '../errors.ts';
import type { LocalBlob } from '../oci/image.ts';
import { blockSize, paddingAfter, typeflag } from '../tar/format.ts';
import { type Header, isZeroBlock, readHeader } from '../tar/header.ts';
import { type Extensions, joinEntry } from '../tar/join-entry.ts';
import { maxPathBytes, maxPaxBytes } from '../tar/limits.ts';
import { parsePax } from '../tar/pax.ts';

/** Most members of an image archive: an image has a few a layer. A header costs its sender nothing when compressed. */
const maximumMembers = 100_000;
/** A chain of links that is longer is a loop. */
const maximumLinks = 16;

/** A regular file within a tar, or a name for one. */
type Member = { readonly offset: number; readonly length: number } | { readonly link: string };

function invalid(file: string, why: string): FormatError {
  return new FormatError('SLUICE_ARCHIVE_INVALID', `Cannot read archive "${file}": ${why}`);
}

/** `./a//b/../c` → `a/c`; nothing leads out of the archive, for its names are keys, not paths. */
function normalName(name: string): string {
  return path.posix.join('/', name).slice(1).replace(/\/$/, '');
}

/** Reads headers and skips contents: a few reads a member, however large it is. */
class HeaderReader {
  readonly #handle: FileHandle;
  readonly #file: string;
  #extensions: Extensions = { pax: new Map(), gnuName: undefined, gnuLink: undefined };
  #at = 0;

  constructor(handle: FileHandle, file: string) {
    this.#handle = handle;
    this.#file = file;
  }

  /** @returns the next file or link; `undefined` at the end */
  async next(): Promise<{ name: string; member: Member | undefined } | undefined> {
    for (;;) {
      const block = await this.#read(blockSize);
      if (block.length === 0 || isZeroBlock(block)) return undefined;
      const header = readHeader(block);
      if (!(await this.#extension(header))) return this.#member(header);
    }
  }

  /** Takes in an extended header; false when it is an ordinary one. */
  async #extension(header: Header): Promise<boolean> {
    const content = async (maximum: number): Promise<Buffer> => {
      if (header.size > maximum) throw invalid(this.#file, `an extended header of ${header.size} bytes`);
      const bytes = await this.#read(header.size);
      this.#at += paddingAfter(header.size);
      return bytes;
    };
    const text = (bytes: Buffer) => bytes.toString('latin1').replace(/\0.*$/s, '') as ByteString;
    switch (header.typeflag) {
      case typeflag.pax:
        this.#extensions.pax = parsePax(await content(maxPaxBytes));
        return true;
      case typeflag.paxGlobal:
        await content(maxPaxBytes);
        return true;
      case typeflag.gnuLongName:
        this.#extensions.gnuName = text(await content(maxPathBytes + 1));
        return true;
      case typeflag.gnuLongLink:
        this.#extensions.gnuLink = text(await content(maxPathBytes + 1));
        return true;
      default:
        return false;
    }
  }

  #member(header: Header): { name: string; member: Member | undefined } {
    const { pax } = this.#extensions;
    const entry = joinEntry(header, this.#extensions);
    this.#extensions = { pax: new Map(), gnuName: undefined, gnuLink: undefined };
    const name = normalName(displayText(entry.path));
    const target = displayText(entry.linkTarget);
    const offset = this.#at;
    // What a header says of content counts for types that have content only.
    this.#at += entry.size + paddingAfter(entry.size);
    if (entry.type === 'hardlink') return { name, member: { link: normalName(target) } };
    if (entry.type === 'symlink') {
      return { name, member: { link: normalName(path.posix.join(path.posix.dirname(name), target)) } };
    }
    if (entry.type !== 'file') return { name, member: undefined };
    const sparse = header.oldSparse !== undefined || [...pax.keys()].some((key) => key.startsWith('GNU.sparse.'));
    if (sparse) throw invalid(this.#file, `"${name}" is stored as a sparse file`);
    return { name, member: { offset, length: entry.size } };
  }

  /** Exactly `length` bytes; none at the end of the file. */
  async #read(length: number): Promise<Buffer> {
    const buffer = Buffer.allocUnsafe(length);
    const { bytesRead } = await this.#handle.read(buffer, 0, length, this.#at);
    if (bytesRead === 0 && length === blockSize) return buffer.subarray(0, 0);
    if (bytesRead !== length) throw invalid(this.#file, 'it is truncated');
    this.#at += length;
    return buffer;
  }
}

async function refuseCompressed(handle: FileHandle, file: string): Promise<void> {
  const start = Buffer.alloc(4);
  await handle.read(start, 0, 4, 0);
  const format = start.readUInt16BE() === 0x1f8b ? 'gzip' : start.readUInt32LE() === 0xfd2fb528 ? 'zstd' : undefined;
  if (format) throw invalid(file, `it is compressed with ${format}; decompress it first`);
}

/**
 * Where the files of an uncompressed tar lie in it. The file is not unpacked, and must not change while it is in use.
 */
export class TarIndex {
  readonly #file: string;
  readonly #size: number;
  readonly #members: ReadonlyMap<string, Member>;

  private constructor(file: string, size: number, members: ReadonlyMap<string, Member>) {
    this.#file = file;
    this.#size = size;
    this.#members = members;
  }

  /**
   * Reads all headers of a tar.
   * @throws {NotFoundError} SLUICE_IMAGE_NOT_FOUND when there is no such file
   * @throws {FormatError} SLUICE_ARCHIVE_INVALID, SLUICE_TAR_INVALID, SLUICE_TAR_LIMIT
   */
  static async read(file: string): Promise<TarIndex> {
    const handle = await open(file, 'r').catch((error: unknown) => {
      throw new NotFoundError('SLUICE_IMAGE_NOT_FOUND', `Cannot open archive "${file}"`, { cause: error });
    });
    try {
      await refuseCompressed(handle, file);
      const members = new Map<string, Member>();
      const reader = new HeaderReader(handle, file);
      for (let found = await reader.next(); found !== undefined; found = await reader.next()) {
        if (found.member) members.set(found.name, found.member);
        if (members.size > maximumMembers) throw invalid(file, `more than ${maximumMembers} members`);
      }
      return new TarIndex(path.resolve(file), (await handle.stat()).size, members);
    } finally {
      await handle.close();
    }
  }

  /**
   * @param name - as in the tar, links are followed
   * @throws {FormatError} SLUICE_ARCHIVE_INVALID for a loop of links, or a member that ends after the file
   */
  find(name: string): LocalBlob | undefined {
    let member = this.#members.get(normalName(name));
    for (let links = 0; member !== undefined && 'link' in member; links++) {
      if (links === maximumLinks) throw invalid(this.#file, `"${name}" is a loop of links`);
      member = this.#members.get(member.link);
    }
    if (member === undefined) return undefined;
    const { offset, length } = member;
    if (offset + length > this.#size) throw invalid(this.#file, `it is truncated within "${name}"`);
    return { path: this.#file, offset, length };
  }
}
