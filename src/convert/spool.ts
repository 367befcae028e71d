import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { PAGE_SIZE, paddedSize } from '../chunk/parameters.ts';
import type { Extent } from '../erofs/inode.ts';
import type { DataRun } from '../tar/sparse.ts';

const bufferSize = 1 << 20;
const zeros = new Uint8Array(PAGE_SIZE);

/**
 * The data of one layer's files on the local disk while it is converted: every file's runs one after the other, each
 * on a page boundary and zero-padded to one. Written once front to back, then read anywhere.
 */
export class SpoolWriter {
  readonly #fd: number;
  readonly #buffer = new Uint8Array(bufferSize);
  #buffered = 0;
  #position = 0;

  constructor(path: string) {
    this.#fd = openSync(path, 'w', 0o600);
  }

  /** Where the next byte goes. */
  get position(): number {
    return this.#position;
  }

  /** Appends a copy of `bytes`. */
  write(bytes: Uint8Array): void {
    this.#position += bytes.length;
    if (bytes.length <= bufferSize - this.#buffered) {
      this.#buffer.set(bytes, this.#buffered);
      this.#buffered += bytes.length;
      return;
    }
    this.#flush();
    if (bytes.length >= bufferSize) this.#writeAll(bytes);
    else {
      this.#buffer.set(bytes);
      this.#buffered = bytes.length;
    }
  }

  /** Appends zeros. */
  pad(length: number): void {
    for (let left = length; left > 0; left -= PAGE_SIZE) this.write(zeros.subarray(0, Math.min(left, PAGE_SIZE)));
  }

  close(): void {
    try {
      this.#flush();
    } finally {
      closeSync(this.#fd);
    }
  }

  #flush(): void {
    this.#writeAll(this.#buffer.subarray(0, this.#buffered));
    this.#buffered = 0;
  }

  #writeAll(bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length; ) done += writeSync(this.#fd, bytes, done);
  }
}

/** Random access to a finished spool. */
export class SpoolReader {
  readonly #fd: number;

  constructor(path: string) {
    this.#fd = openSync(path, 'r');
  }

  /** Fills `into` from `offset`. */
  read(offset: number, into: Uint8Array): void {
    let done = 0;
    while (done < into.length) {
      const count = readSync(this.#fd, into, done, into.length - done, offset + done);
      if (count === 0) throw new RangeError(`Cannot read spool at ${offset + done}: it ends there`);
      done += count;
    }
  }

  close(): void {
    closeSync(this.#fd);
  }
}

/**
 * How many pieces the map of a sparse file may have. EROFS has an index of 8 bytes for each, also for those in a hole:
 * without a bound, one page of data in a hole of 500 GB would cost a gigabyte of bootstrap.
 */
const maximumPieces = 8192;

/** EROFS chunks of more than 16 MiB are read whole by its tools. */
const maximumPiece = 16 << 20;

/**
 * Widens data runs to whole pages and joins those that touch, because pages are what devices hold. In large files with
 * holes they are widened further, with zeros, to keep the map of the file small.
 *
 * @param runs - in order, not overlapping
 * @returns extents whose `deviceOffset` counts from `position`, each taking whole pages there
 */
export function layOutRuns(runs: readonly DataRun[], size: number, position: number): Extent[] {
  const piece = runs.length === 1 && runs[0]?.length === size ? PAGE_SIZE : pieceSize(size);
  const pieces: { offset: number; end: number }[] = [];
  for (const run of runs) {
    if (run.length === 0) continue;
    const offset = run.offset - (run.offset % piece);
    const end = Math.min(Math.ceil((run.offset + run.length) / piece) * piece, size);
    const last = pieces.at(-1);
    if (last !== undefined && offset <= last.end) last.end = Math.max(last.end, end);
    else pieces.push({ offset, end });
  }
  let deviceOffset = position;
  return pieces.map(({ offset, end }) => {
    const extent = { offset, length: end - offset, device: 0, deviceOffset };
    deviceOffset += paddedSize(end - offset);
    return extent;
  });
}

function pieceSize(size: number): number {
  let piece = PAGE_SIZE;
  while (piece < maximumPiece && size / piece > maximumPieces) piece *= 2;
  return piece;
}
