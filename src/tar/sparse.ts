import { type Field, gnuField } from './format.ts';
import { invalidTar, maxSparseRuns, overLimit } from './limits.ts';
import { parseDecimal, readNumber } from './numbers.ts';
import type { PaxRecords } from './pax.ts';

/** A run of a sparse file that the tar holds bytes for. What no run covers is a hole. Both are bytes. */
export interface DataRun {
  readonly offset: number;
  readonly length: number;
}

const newline = 0x0a;
const digit0 = 0x30;

/** What the header of type `S` says; the map goes on in extension blocks when `extended` is true. */
export interface OldSparse {
  readonly realSize: number;
  readonly runs: DataRun[];
  readonly extended: boolean;
}

/** Source: GNU tar manual, "Storing Sparse Files", Old GNU Format. */
export function readOldSparse(block: Buffer): OldSparse {
  const realSize = readNumber(block, gnuField.realSize, 'real size');
  const runs: DataRun[] = [];
  readOldRuns(block, gnuField.sparse, runs);
  return { realSize, runs, extended: block[gnuField.isExtended.offset] !== 0 };
}

/** Appends the runs of one extension block to `runs`. @returns whether another block follows */
export function readOldExtension(block: Buffer, runs: DataRun[]): boolean {
  readOldRuns(block, gnuField.extensionSparse, runs);
  if (runs.length > maxSparseRuns) throw overLimit('number of sparse runs', runs.length, maxSparseRuns);
  return block[gnuField.extensionIsExtended.offset] !== 0;
}

function readOldRuns(block: Buffer, { offset, length }: Field, runs: DataRun[]): void {
  for (let at = offset; at < offset + length && block[at] !== 0; at += 24) {
    runs.push({
      offset: readNumber(block, { offset: at, length: 12 }, 'sparse offset'),
      length: readNumber(block, { offset: at + 12, length: 12 }, 'sparse length'),
    });
  }
}

/**
 * The map of PAX sparse files 0.0 and 0.1, which stands in the records (0.0 is joined to the form of 0.1 on the way in).
 * Source: GNU tar manual, "Storing Sparse Files", PAX Format, Versions 0.0 and 0.1.
 */
export function parseSparseMap(records: PaxRecords): DataRun[] {
  const count = parseDecimal(records.get('GNU.sparse.numblocks') ?? '', 'number of sparse runs');
  const text = records.get('GNU.sparse.map') ?? '';
  const numbers = text === '' ? [] : text.split(',').map((number) => parseDecimal(number, 'sparse map entry'));
  if (numbers.length !== 2 * count) throw invalidTar('the sparse map has another length than it says');
  return pairs(numbers);
}

function pairs(numbers: readonly number[]): DataRun[] {
  const runs: DataRun[] = [];
  for (let at = 0; at < numbers.length; at += 2) {
    runs.push({ offset: numbers[at] ?? 0, length: numbers[at + 1] ?? 0 });
  }
  return runs;
}

/**
 * The map of a PAX sparse file 1.0, which stands in front of the content: decimal numbers, each ended by a newline,
 * the count first. It is read block by block, so that its text is never collected.
 * Source: GNU tar manual, "Storing Sparse Files", PAX Format, Version 1.0.
 */
export class SparseMapText {
  readonly #numbers: number[] = [];
  #expected = 1;
  #value: number | undefined;

  /** @returns whether the map is complete; the rest of the block is padding */
  push(block: Buffer): boolean {
    for (const byte of block) {
      if (byte === newline) this.#endNumber();
      else this.#digit(byte);
      if (this.#numbers.length === this.#expected) return true;
    }
    return false;
  }

  get runs(): DataRun[] {
    return pairs(this.#numbers.slice(1));
  }

  #digit(byte: number): void {
    const digit = byte - digit0;
    this.#value = (this.#value ?? 0) * 10 + digit;
    if (digit < 0 || digit > 9 || !Number.isSafeInteger(this.#value))
      throw invalidTar('the sparse map holds no numbers');
  }

  #endNumber(): void {
    if (this.#value === undefined) throw invalidTar('the sparse map has an empty line');
    if (this.#numbers.length === 0) {
      if (this.#value > maxSparseRuns) throw overLimit('number of sparse runs', this.#value, maxSparseRuns);
      this.#expected = 1 + 2 * this.#value;
    }
    this.#numbers.push(this.#value);
    this.#value = undefined;
  }
}

/**
 * Checks that the runs ascend, lie within the file and add up to what the tar stores.
 * @param stored - bytes of content in the tar
 * @returns the runs without the empty ones (writers mark the end of the file with one)
 * @throws {FormatError} SLUICE_TAR_INVALID
 */
export function checkRuns(runs: readonly DataRun[], realSize: number, stored: number): DataRun[] {
  let end = 0;
  let sum = 0;
  for (const { offset, length } of runs) {
    if (offset < end || length < 0 || offset + length > realSize)
      throw invalidTar('the sparse map leads out of its file');
    end = offset + length;
    sum += length;
  }
  if (sum !== stored) throw invalidTar(`the sparse map covers ${sum} bytes, the content has ${stored}`);
  return runs.filter(({ length }) => length > 0);
}
