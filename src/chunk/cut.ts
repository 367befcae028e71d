import type { DigestAlgorithm } from '../digest/hash.ts';
import { hash } from '../digest/hash.ts';
import { CutPoint } from './cut-point.ts';
import { type CutParameters, paddedSize, validateCutParameters } from './parameters.ts';

/** A chunk of the layer's image before deduplication, where every file starts on a page and is padded to one. */
export interface CutChunk {
  /** Bytes, a multiple of the page size. */
  readonly length: number;
  /** 32 bytes, of the chunk with its padding. */
  readonly digest: Uint8Array;
}

/** One file to cut, or one page-aligned data run of a sparse file. */
export interface CutFile {
  /** Bytes, without padding; 0 makes no chunk. */
  readonly size: number;
}

/**
 * Fills `into` with the bytes of file number `file` from `offset` on; there are that many. `into` is the cutter's.
 */
export type ReadFile = (file: number, offset: number, into: Uint8Array) => void;

/**
 * Cuts files laid one after the other into chunks and hashes these. Files of at least `average` bytes are cut alone, so
 * that they give the same chunks wherever they lie; shorter ones are packed together and cut between files only.
 * Measured on a base, a Python and a Node layer: packing only what is below `minimum` makes a third more chunks, and lets
 * 1 % more of what they share be found.
 * The chunks' lengths add up to the files' padded sizes, in order.
 *
 * Pure but for `read`. Holds three times `maximum` bytes, however large the files are.
 * Normative description: docs/format.md, "Cutting".
 *
 * @throws {UsageError} SLUICE_OPTION_INVALID for parameters that make no sense
 * @throws whatever `read` throws
 */
export function cutFiles(
  files: Iterable<CutFile>,
  read: ReadFile,
  parameters: CutParameters,
  algorithm: DigestAlgorithm,
): CutChunk[] {
  validateCutParameters(parameters);
  const cutter = new Cutter(read, parameters, algorithm);
  let index = 0;
  for (const { size } of files) cutter.add(index++, size);
  return cutter.end();
}

class Cutter {
  readonly #chunks: CutChunk[] = [];
  readonly #read: ReadFile;
  readonly #parameters: CutParameters;
  readonly #algorithm: DigestAlgorithm;
  readonly #cutPoint: CutPoint;
  /** The run of small files that is being packed. */
  readonly #pack: Uint8Array;
  #packed = 0;
  readonly #window: FileWindow;

  constructor(read: ReadFile, parameters: CutParameters, algorithm: DigestAlgorithm) {
    this.#read = read;
    this.#parameters = parameters;
    this.#algorithm = algorithm;
    this.#cutPoint = new CutPoint(parameters);
    this.#pack = new Uint8Array(parameters.maximum);
    this.#window = new FileWindow(read, parameters.maximum);
  }

  add(file: number, size: number): void {
    if (size >= this.#parameters.average) {
      this.#endPack();
      this.#cutLarge(file, size);
    } else if (size > 0) {
      this.#packSmall(file, size);
    }
  }

  end(): CutChunk[] {
    this.#endPack();
    return this.#chunks;
  }

  #packSmall(file: number, size: number): void {
    const padded = paddedSize(size);
    if (this.#packed + padded > this.#parameters.maximum) this.#endPack();
    const content = this.#pack.subarray(this.#packed, this.#packed + size);
    this.#read(file, 0, content);
    this.#pack.fill(0, this.#packed + size, this.#packed + padded);
    this.#packed += padded;
    if (this.#cutPoint.afterFile(content, this.#packed)) this.#endPack();
  }

  #endPack(): void {
    if (this.#packed > 0) this.#emit(this.#pack.subarray(0, this.#packed));
    this.#packed = 0;
  }

  #cutLarge(file: number, size: number): void {
    this.#window.open(file, size);
    for (let remaining = paddedSize(size); remaining > 0; ) {
      const bytes = this.#window.view();
      const length = this.#cutPoint.inFile(bytes, remaining);
      this.#emit(bytes.subarray(0, length));
      this.#window.skip(length);
      remaining -= length;
    }
  }

  #emit(bytes: Uint8Array): void {
    this.#chunks.push({ length: bytes.length, digest: hash(this.#algorithm, bytes) });
  }
}

/** Slides over a large file, so that its next chunk is always in memory as a whole. */
class FileWindow {
  readonly #read: ReadFile;
  readonly #maximum: number;
  /** Twice the maximum, so that what is left moves to the front only once every `maximum` bytes. */
  readonly #bytes: Uint8Array;
  #file = 0;
  #size = 0;
  #loaded = 0;
  #start = 0;
  #end = 0;

  constructor(read: ReadFile, maximum: number) {
    this.#read = read;
    this.#maximum = maximum;
    this.#bytes = new Uint8Array(maximum * 2);
  }

  open(file: number, size: number): void {
    this.#file = file;
    this.#size = size;
    this.#loaded = 0;
    this.#start = 0;
    this.#end = 0;
  }

  /** The next bytes, padded at the end of the file: all that are left, or at least `maximum` of them. */
  view(): Uint8Array {
    if (this.#end - this.#start < this.#maximum && this.#loaded < this.#size) this.#refill();
    return this.#bytes.subarray(this.#start, this.#end);
  }

  skip(length: number): void {
    this.#start += length;
  }

  #refill(): void {
    const kept = this.#end - this.#start;
    this.#bytes.copyWithin(0, this.#start, this.#end);
    const loadedEnd = Math.min(this.#bytes.length, kept + this.#size - this.#loaded);
    this.#read(this.#file, this.#loaded, this.#bytes.subarray(kept, loadedEnd));
    this.#loaded += loadedEnd - kept;
    this.#start = 0;
    this.#end = paddedSize(loadedEnd);
    this.#bytes.fill(0, loadedEnd, this.#end);
  }
}
