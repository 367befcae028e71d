import { type ByteString, byteString } from '../byte-string.ts';
import { blockSize, paddingAfter, typeflag } from './format.ts';
import { type Header, isZeroBlock, readHeader } from './header.ts';
import { type Extensions, joinEntry } from './join-entry.ts';
import { invalidTar, maxPathBytes, maxPaxBytes, overLimit } from './limits.ts';
import { parseDecimal } from './numbers.ts';
import { type PaxRecords, parsePax } from './pax.ts';
import { checkRuns, type DataRun, parseSparseMap, readOldExtension, SparseMapText } from './sparse.ts';

export type TarEntryType = 'file' | 'directory' | 'symlink' | 'hardlink' | 'char' | 'block' | 'fifo';

/** One file-system object as a tar describes it, all dialects alike. Owns all its parts. */
export interface TarEntry {
  /** As the tar says it, not cleaned; directories often end in a slash. */
  readonly path: ByteString;
  /** Of symlinks, and of hard links the path of the other name; else empty. */
  readonly linkTarget: ByteString;
  readonly type: TarEntryType;
  /** Permission bits, setuid, setgid and sticky: 12 bits. */
  readonly mode: number;
  /** 32 bits. */
  readonly uid: number;
  readonly gid: number;
  /** Bytes, holes included; 0 for what is no file. */
  readonly size: number;
  /** Seconds since the epoch, may be negative; the fraction is in `mtimeNs` (0–999,999,999). */
  readonly mtime: number;
  readonly mtimeNs: number;
  /** Of devices; else 0. */
  readonly major: number;
  readonly minor: number;
  /** Full name (`security.capability`) to value. */
  readonly xattrs: ReadonlyMap<ByteString, Uint8Array>;
  /** The runs the tar holds content for, ascending and not empty; `undefined` when it holds all of it. */
  readonly sparse: readonly DataRun[] | undefined;
}

/** What a {@link TarParser} calls, in the order of the archive: `entry`, `data` as often as it takes, `endEntry`. */
export interface TarHandler {
  entry(entry: TarEntry): void;
  /** The next stored bytes of the entry, a view that is valid until the call returns. Holes of sparse files are not delivered. */
  data(bytes: Uint8Array): void;
  endEntry(): void;
}

/** Takes one thing of known length, and says what comes next by setting the parser's state. */
type Step = (bytes: Buffer) => void;

const noRecords: PaxRecords = new Map();
const noExtensions = (): Extensions => ({ pax: noRecords, gnuName: undefined, gnuLink: undefined });

/**
 * Parses a tar of any dialect (Seventh Edition, ustar, PAX, old and new GNU, star), pushed in pieces of any size.
 * Content passes through without a copy; what is held is at most one extended header.
 *
 * Follows Go's archive/tar where dialects and readers differ, since containerd unpacks layers with it. Global PAX
 * headers are checked and ignored, whatever follows two zero blocks is ignored, and the two blocks may be missing. Beyond
 * containerd, which refuses them, old GNU sparse and contiguous files are read and volume labels are skipped.
 * After an error the parser is of no more use.
 */
export class TarParser {
  readonly #handler: TarHandler;
  /** Bytes of content still to hand out, and of padding to drop after it. */
  #content = 0;
  #padding = 0;
  /** What is collected next when there is no content. */
  #wanted = blockSize;
  #collected: Buffer | undefined;
  #filled = 0;
  #step: Step;
  #extensions = noExtensions();
  #betweenEntries = true;
  #ended = false;

  constructor(handler: TarHandler) {
    this.#handler = handler;
    this.#step = this.#header;
  }

  /**
   * @param bytes - the next piece, not kept
   * @throws {FormatError} SLUICE_TAR_INVALID, SLUICE_TAR_LIMIT; and what the handler throws
   */
  push(bytes: Uint8Array): void {
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    let at = 0;
    while (at < buffer.length && !this.#ended) {
      const left = buffer.length - at;
      if (this.#content > 0) {
        const length = Math.min(left, this.#content);
        this.#handler.data(buffer.subarray(at, at + length));
        at += length;
        this.#content -= length;
        if (this.#content === 0) this.#endEntry();
      } else if (this.#padding > 0) {
        const length = Math.min(left, this.#padding);
        at += length;
        this.#padding -= length;
      } else {
        at += this.#collect(buffer, at);
      }
    }
  }

  /**
   * Says that the archive is complete.
   * @throws {FormatError} SLUICE_TAR_INVALID when it breaks off within a header or an entry
   */
  end(): void {
    if (this.#ended) return;
    if (!this.#betweenEntries || this.#filled > 0) throw invalidTar('the archive is truncated');
    this.#ended = true;
  }

  /** Runs the step as soon as it has all its bytes; in place when they lie together in `buffer`. */
  #collect(buffer: Buffer, at: number): number {
    const missing = this.#wanted - this.#filled;
    const length = Math.min(missing, buffer.length - at);
    if (length === this.#wanted) {
      this.#step(buffer.subarray(at, at + length));
      return length;
    }
    this.#collected ??= Buffer.allocUnsafe(this.#wanted);
    buffer.copy(this.#collected, this.#filled, at, at + length);
    this.#filled += length;
    if (length === missing) {
      const whole = this.#collected;
      this.#collected = undefined;
      this.#filled = 0;
      this.#step(whole);
    }
    return length;
  }

  #expect(length: number, step: Step, padding = 0): void {
    this.#wanted = length;
    this.#step = step;
    this.#padding = padding;
  }

  readonly #header: Step = (block) => {
    if (isZeroBlock(block)) {
      this.#expect(blockSize, this.#secondZeroBlock);
      return;
    }
    const header = readHeader(block);
    this.#betweenEntries = false;
    switch (header.typeflag) {
      case typeflag.pax:
        return this.#extension(header.size, maxPaxBytes, (content) => {
          this.#extensions.pax = parsePax(content);
        });
      case typeflag.paxGlobal:
        // containerd, like Go, lets a global header apply to nothing, and drop the extensions before it.
        return this.#extension(header.size, maxPaxBytes, (content) => {
          parsePax(content);
          this.#extensions = noExtensions();
        });
      case typeflag.gnuLongName:
        return this.#extension(header.size, maxPathBytes + 1, (content) => {
          this.#extensions.gnuName = untilNul(content);
        });
      case typeflag.gnuLongLink:
        return this.#extension(header.size, maxPathBytes + 1, (content) => {
          this.#extensions.gnuLink = untilNul(content);
        });
      case typeflag.gnuVolumeLabel:
        return this.#skip(header.size);
      default:
        return this.#open(header);
    }
  };

  readonly #secondZeroBlock: Step = (block) => {
    if (!isZeroBlock(block)) throw invalidTar('a zero block is followed by another header');
    this.#ended = true;
  };

  #extension(size: number, limit: number, take: Step): void {
    if (size > limit) throw overLimit('size of an extended header', size, limit);
    const done: Step = (content) => {
      take(content);
      this.#expect(blockSize, this.#header, paddingAfter(size));
      this.#betweenEntries = true;
    };
    if (size === 0) done(Buffer.alloc(0));
    else this.#expect(size, done);
  }

  /** Drops an entry that stands for nothing in a file system. */
  #skip(size: number): void {
    this.#extensions = noExtensions();
    this.#expect(blockSize, this.#header, size + paddingAfter(size));
    this.#betweenEntries = true;
  }

  #open(header: Header): void {
    const { pax } = this.#extensions;
    const entry = joinEntry(header, this.#extensions);
    this.#extensions = noExtensions();
    if (header.oldSparse) {
      const { realSize, runs, extended } = header.oldSparse;
      this.#expectOldExtension({ ...entry, size: realSize }, entry.size, runs, extended);
      return;
    }
    const version = sparseVersion(pax);
    if (version === undefined) {
      this.#start(entry, entry.size);
      return;
    }
    if (entry.type !== 'file') throw invalidTar(`a ${entry.type} is sparse`);
    const size = parseDecimal(
      pax.get('GNU.sparse.size') || pax.get('GNU.sparse.realsize') || `${entry.size}`,
      'real size',
    );
    const sparse = { ...entry, path: pax.get('GNU.sparse.name') || entry.path, size };
    if (version === '0') this.#startSparse(sparse, entry.size, parseSparseMap(pax));
    else this.#expectMap(sparse, entry.size, new SparseMapText());
  }

  #expectOldExtension(entry: TarEntry, stored: number, runs: DataRun[], extended: boolean): void {
    if (!extended) {
      this.#startSparse(entry, stored, runs);
      return;
    }
    this.#expect(blockSize, (block) => {
      this.#expectOldExtension(entry, stored, runs, readOldExtension(block, runs));
    });
  }

  #expectMap(entry: TarEntry, stored: number, map: SparseMapText): void {
    if (stored < blockSize) throw invalidTar('the sparse map is truncated');
    this.#expect(blockSize, (block) => {
      const left = stored - blockSize;
      if (map.push(block)) this.#startSparse(entry, left, map.runs);
      else this.#expectMap(entry, left, map);
    });
  }

  #startSparse(entry: TarEntry, stored: number, runs: readonly DataRun[]): void {
    this.#start({ ...entry, sparse: checkRuns(runs, entry.size, stored) }, stored);
  }

  #start(entry: TarEntry, stored: number): void {
    this.#expect(blockSize, this.#header, paddingAfter(stored));
    this.#content = stored;
    this.#handler.entry(entry);
    if (stored === 0) this.#endEntry();
  }

  #endEntry(): void {
    this.#betweenEntries = true;
    this.#handler.endEntry();
  }
}

function untilNul(content: Buffer): ByteString {
  const nul = content.indexOf(0);
  return byteString(nul < 0 ? content : content.subarray(0, nul));
}

/** `'0'` when the map stands in the records (0.0, 0.1), `'1'` when it stands in front of the content. */
function sparseVersion(pax: PaxRecords): '0' | '1' | undefined {
  const major = pax.get('GNU.sparse.major') ?? '';
  const minor = pax.get('GNU.sparse.minor') ?? '';
  if (major === '0' && (minor === '0' || minor === '1')) return '0';
  if (major === '1' && minor === '0') return '1';
  return major === '' && minor === '' && pax.get('GNU.sparse.map') ? '0' : undefined;
}
