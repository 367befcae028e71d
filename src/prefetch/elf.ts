import { type ByteString, byteString } from '../byte-string.ts';
import type { ImageFile, ImageFiles } from './image-files.ts';

/** What two objects of one process have in common. */
export interface ElfTarget {
  readonly is64: boolean;
  /** EM_*. */
  readonly machine: number;
}

/** A run of a file. Bytes. */
export interface ByteRange {
  readonly offset: number;
  readonly length: number;
}

/** What the loader reads out of an ELF file before anything in it runs. */
export interface ElfObject {
  readonly target: ElfTarget;
  /** PT_INTERP. */
  readonly interpreter: ByteString | undefined;
  /** DT_NEEDED, in order. */
  readonly needed: readonly ByteString[];
  /** DT_RPATH and DT_RUNPATH, not split yet. */
  readonly rpath: ByteString | undefined;
  readonly runpath: ByteString | undefined;
  /** Symbols, strings and relocations with all that lies before them; then every segment that can be written to. */
  readonly loaderReads: readonly ByteRange[];
}

/** Read at first: the headers of every ordinary file. Bytes. */
const HEAD_SIZE = 4096;

/** Stops a file of nothing but headers from being walked. A kernel takes at most 64 KiB of them: 1170. */
const MAXIMUM_SEGMENTS = 128;

/** Stops a dynamic section as long as the file. libLLVM's has 40 entries. */
const MAXIMUM_DYNAMIC_ENTRIES = 4096;

/** Stops an object from naming every file of the image, once or many times. */
const MAXIMUM_NEEDED = 256;

/** A name or search path that is longer is none: PATH_MAX of Linux. */
const MAXIMUM_STRING = 4096;

/** Source: elf(5), gABI chapter 5. */
const PT = { load: 1, dynamic: 2, interp: 3 } as const;
const PF_W = 2;
const DT = {
  null: 0,
  needed: 1,
  pltRelSize: 2,
  strTab: 5,
  symTab: 6,
  rela: 7,
  relaSize: 8,
  strSize: 10,
  rpath: 15,
  rel: 17,
  relSize: 18,
  jmpRel: 23,
  runpath: 29,
  relrSize: 35,
  relr: 36,
  gnuHash: 0x6ffffef5,
  versionSymbols: 0x6ffffff0,
} as const;

/** Tables of the loader: where each begins, and which entry says how long it is. */
const loaderTables: readonly (readonly [start: number, size: number | undefined])[] = [
  [DT.strTab, DT.strSize],
  [DT.rela, DT.relaSize],
  [DT.rel, DT.relSize],
  [DT.relr, DT.relrSize],
  [DT.jmpRel, DT.pltRelSize],
  [DT.symTab, undefined],
  [DT.gnuHash, undefined],
  [DT.versionSymbols, undefined],
];

interface Segment extends ByteRange {
  readonly type: number;
  readonly flags: number;
  readonly address: number;
}

interface Header {
  readonly target: ElfTarget;
  readonly littleEndian: boolean;
  readonly segments: ByteRange & { readonly entrySize: number };
}

/** Words of one file's width and byte order. What lies outside the bytes, or above 2^53, reads as infinity. */
class Words {
  readonly #view: DataView;
  readonly #littleEndian: boolean;
  readonly #is64: boolean;

  constructor(bytes: Uint8Array, littleEndian: boolean, is64: boolean) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#littleEndian = littleEndian;
    this.#is64 = is64;
  }

  half(offset: number): number {
    return offset + 2 <= this.#view.byteLength ? this.#view.getUint16(offset, this.#littleEndian) : Infinity;
  }

  word(offset: number): number {
    return offset + 4 <= this.#view.byteLength ? this.#view.getUint32(offset, this.#littleEndian) : Infinity;
  }

  /** Addresses, offsets and sizes. */
  native(offset: number): number {
    if (!this.#is64) return this.word(offset);
    if (offset + 8 > this.#view.byteLength) return Infinity;
    const value = Number(this.#view.getBigUint64(offset, this.#littleEndian));
    return Number.isSafeInteger(value) ? value : Infinity;
  }
}

/**
 * Reads what ld.so reads of an executable or a shared object. Source: elf(5).
 * @returns undefined when it is no ELF file, or a broken one
 * @throws what `files.read()` throws
 */
export async function readElf(files: ImageFiles, file: ImageFile): Promise<ElfObject | undefined> {
  const head = await files.read(file, 0, HEAD_SIZE);
  const header = parseHeader(head);
  if (header === undefined) return undefined;
  const { offset, length } = header.segments;
  const table = offset + length <= head.length ? head.subarray(offset, offset + length) : undefined;
  const segments = parseSegments(table ?? (await files.read(file, offset, length)), header).filter(
    (segment) => segment.offset + segment.length <= file.size,
  );
  return new DynamicReader(files, file, header, segments).read();
}

function parseHeader(head: Uint8Array): Header | undefined {
  const [classByte, order] = [head[4] ?? 0, head[5] ?? 0];
  const isElf = head[0] === 0x7f && head[1] === 0x45 && head[2] === 0x4c && head[3] === 0x46;
  if (!isElf || classByte < 1 || classByte > 2 || order < 1 || order > 2) return undefined;
  const [is64, littleEndian] = [classByte === 2, order === 1];
  const words = new Words(head, littleEndian, is64);
  const entrySize = words.half(is64 ? 54 : 42);
  const count = words.half(is64 ? 56 : 44);
  const offset = words.native(is64 ? 32 : 28);
  if (entrySize !== (is64 ? 56 : 32) || count > MAXIMUM_SEGMENTS || !Number.isFinite(offset)) return undefined;
  const target = { is64, machine: words.half(18) };
  return { target, littleEndian, segments: { offset, length: count * entrySize, entrySize } };
}

function parseSegments(table: Uint8Array, { target, littleEndian, segments }: Header): Segment[] {
  const words = new Words(table, littleEndian, target.is64);
  const parsed: Segment[] = [];
  for (let at = 0; at + segments.entrySize <= table.length; at += segments.entrySize) {
    parsed.push({
      type: words.word(at),
      flags: words.word(at + (target.is64 ? 4 : 24)),
      offset: words.native(at + (target.is64 ? 8 : 4)),
      address: words.native(at + (target.is64 ? 16 : 8)),
      length: words.native(at + (target.is64 ? 32 : 16)),
    });
  }
  return parsed;
}

/** What follows the headers: the interpreter's name, the dynamic section, the strings it names. */
class DynamicReader {
  readonly #files: ImageFiles;
  readonly #file: ImageFile;
  readonly #header: Header;
  /** Those that lie in the file. */
  readonly #segments: readonly Segment[];

  constructor(files: ImageFiles, file: ImageFile, header: Header, segments: readonly Segment[]) {
    this.#files = files;
    this.#file = file;
    this.#header = header;
    this.#segments = segments;
  }

  async read(): Promise<ElfObject> {
    const interp = this.#segments.find(({ type }) => type === PT.interp);
    const [interpreter, entries] = await Promise.all([
      interp === undefined ? undefined : this.#string(interp.offset),
      this.#dynamic(),
    ]);
    const strings = this.#offsetOf(entries.get(DT.strTab)?.[0]);
    const named = (tag: number): Promise<ByteString | undefined>[] =>
      (entries.get(tag) ?? []).slice(0, MAXIMUM_NEEDED).map((at) => this.#string(strings + at));
    const [needed, [rpath], [runpath]] = (await Promise.all(
      [DT.needed, DT.rpath, DT.runpath].map((tag) => Promise.all(named(tag))),
    )) as [(ByteString | undefined)[], (ByteString | undefined)[], (ByteString | undefined)[]];
    return {
      target: this.#header.target,
      interpreter,
      needed: needed.filter((name) => name !== undefined),
      rpath,
      runpath,
      loaderReads: this.#loaderReads(entries),
    };
  }

  async #dynamic(): Promise<Map<number, number[]>> {
    const entries = new Map<number, number[]>();
    const segment = this.#segments.find(({ type }) => type === PT.dynamic);
    if (segment === undefined) return entries;
    const size = this.#header.target.is64 ? 16 : 8;
    const bytes = await this.#files.read(
      this.#file,
      segment.offset,
      Math.min(segment.length, MAXIMUM_DYNAMIC_ENTRIES * size),
    );
    const words = new Words(bytes, this.#header.littleEndian, this.#header.target.is64);
    for (let at = 0; at + size <= bytes.length; at += size) {
      const tag = words.native(at);
      if (tag === DT.null) break;
      const values = entries.get(tag) ?? [];
      values.push(words.native(at + size / 2));
      entries.set(tag, values);
    }
    return entries;
  }

  #loaderReads(entries: ReadonlyMap<number, readonly number[]>): ByteRange[] {
    let end = 0;
    for (const [start, size] of loaderTables) {
      const table = this.#offsetOf(entries.get(start)?.[0]) + (size === undefined ? 0 : (entries.get(size)?.[0] ?? 0));
      if (table <= this.#file.size) end = Math.max(end, table);
    }
    const written = this.#segments.filter(({ type, flags }) => type === PT.load && (flags & PF_W) !== 0);
    return [{ offset: 0, length: end }, ...written.map(({ offset, length }) => ({ offset, length }))];
  }

  /** Where in the file the loader's address is; NaN, which no range holds, when it is nowhere. */
  #offsetOf(address: number | undefined): number {
    if (address === undefined) return Number.NaN;
    const segment = this.#segments.find(
      (load) => load.type === PT.load && address >= load.address && address < load.address + load.length,
    );
    return segment === undefined ? Number.NaN : segment.offset + address - segment.address;
  }

  async #string(offset: number): Promise<ByteString | undefined> {
    if (!(offset < this.#file.size)) return undefined;
    const bytes = await this.#files.read(this.#file, offset, MAXIMUM_STRING);
    const end = bytes.indexOf(0);
    return end > 0 ? byteString(bytes.subarray(0, end)) : undefined;
  }
}
