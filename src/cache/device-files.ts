import { closeSync, fstatSync, ftruncateSync, futimesSync, readSync, writeSync } from 'node:fs';
import type { ChunkMap } from '../chunk/chunk-map.ts';
import type { FoundChunk } from './chunk-finder.ts';
import { type DeviceHandles, isStillThere, openReadOnly } from './directory.ts';
import type { CacheEngine } from './engine.ts';
import { GENERATION_SIZE, isPresent, nextGeneration } from './generation.ts';
import { type Lock, withLock } from './lock.ts';

/** Neighbouring chunks, both ends included. */
export interface ChunkRun {
  readonly first: number;
  readonly last: number;
}

/** What a file system may use beyond the bytes themselves (extent blocks, preallocation) before it counts as waste. */
const UNACCOUNTED_BYTES = 256 * 1024;

/**
 * The two files of one device, and the protocol by which processes share them (ADR-0003): `data` is the sparse device
 * image, `state` one generation a chunk. The generation is made even *before* anything happens to the data it stands
 * for, and odd only after the data is whole.
 *
 * Main thread only; every call is synchronous. What is read here is not verified.
 */
export class DeviceFiles {
  readonly dataFd: number;
  readonly stateFd: number;
  readonly isWritable: boolean;
  readonly #chunks: ChunkMap;
  readonly #engine: CacheEngine;
  readonly #lock: Lock;
  readonly #handles: DeviceHandles;
  readonly #word = new Uint32Array(1);

  /** @param handles - taken over: {@link close} closes them @param isWritable - false: nothing can be stored */
  constructor(handles: DeviceHandles, chunks: ChunkMap, engine: CacheEngine, isWritable = true) {
    this.dataFd = handles.dataFd;
    this.stateFd = handles.stateFd;
    this.#handles = handles;
    this.#chunks = chunks;
    this.#engine = engine;
    this.#lock = engine.lock(handles.path, handles.stateFd);
    this.isWritable = isWritable;
    if (isWritable) withLock(this.#lock, () => this.#repair());
  }

  /** The device of a disk that nothing can be written to: what is there can be read. */
  static readOnly(folder: string, chunks: ChunkMap, engine: CacheEngine): DeviceFiles {
    return new DeviceFiles(openReadOnly(folder), chunks, engine, false);
  }

  /** 0 where the file is too short, as after somebody else's repair. */
  generation(chunk: number): number {
    this.#word[0] = 0;
    readSync(this.stateFd, this.#word, 0, GENERATION_SIZE, chunk * GENERATION_SIZE);
    return this.#word[0];
  }

  /** A copy of the whole state file. */
  generations(): Uint32Array {
    const words = new Uint32Array(this.#chunks.count);
    if (words.length > 0) readSync(this.stateFd, words, 0, words.byteLength, 0);
    return words;
  }

  /** Fills `target` with bytes that stand for a part of a chunk now, whatever they are; false when the file is too short. */
  readInto(chunk: number, offset: number, target: Uint8Array): boolean {
    const position = this.#chunks.uncompressedOffset(chunk) + offset;
    return readSync(this.dataFd, target, 0, target.length, position) === target.length;
  }

  /** The bytes that stand for a chunk now, whatever they are; undefined when the file is too short. */
  readData(chunk: number): Buffer | undefined {
    const bytes = Buffer.allocUnsafeSlow(this.#chunks.uncompressedLength(chunk));
    const read = readSync(this.dataFd, bytes, 0, bytes.length, this.#chunks.uncompressedOffset(chunk));
    return read === bytes.length ? bytes : undefined;
  }

  /**
   * Puts a chunk in place, unless another process already did.
   * @param bytes - verified, of the chunk's length; not kept
   * @param found - where the same bytes lie already: they are copied from there when that is possible
   * @returns the generation under which exactly these bytes are there; undefined when the lock could not be had
   * @throws the errno error of a disk that is full or broken; the chunk is absent then
   */
  commit(chunk: number, bytes: Uint8Array, found?: FoundChunk): number | undefined {
    return withLock(this.#lock, () => {
      let generation = this.generation(chunk);
      if (isPresent(generation)) {
        if (this.readData(chunk)?.equals(bytes)) return generation;
        generation = this.#advance(chunk, generation);
      }
      const offset = this.#chunks.uncompressedOffset(chunk);
      try {
        // What a copy of a chunk that was evicted meanwhile has left is written over.
        if (!this.#copy(offset, bytes.length, found)) writeFully(this.dataFd, bytes, offset);
        return this.#advance(chunk, generation);
      } catch (error) {
        this.#engine.punchHole(this.dataFd, offset, bytes.length);
        throw error;
      }
    });
  }

  /** False once the folder was removed under our hands, and when nothing can be stored: it takes other files then. */
  isOfUse(): boolean {
    return this.isWritable && isStillThere(this.#handles);
  }

  /**
   * Makes chunks absent and gives their room back.
   * @returns bytes that were present; undefined when the lock could not be had
   */
  evict(runs: readonly ChunkRun[]): number | undefined {
    return withLock(this.#lock, () => runs.reduce((bytes, run) => bytes + this.#evictRun(run), 0));
  }

  /** Makes one chunk absent when it still has the generation it was found bad under. */
  drop(chunk: number, generation: number): void {
    withLock(this.#lock, () =>
      this.generation(chunk) === generation ? this.#evictRun({ first: chunk, last: chunk }) : 0,
    );
  }

  /** Tells other processes that the device is in use: they evict the longest unused first. */
  touch(): void {
    const now = new Date();
    futimesSync(this.stateFd, now, now);
  }

  close(): void {
    closeSync(this.dataFd);
    closeSync(this.stateFd);
  }

  #copy(offset: number, length: number, found: FoundChunk | undefined): boolean {
    if (found === undefined) return false;
    return this.#engine.copyRange(found.dataFd, found.offset, this.dataFd, offset, length) && found.isStillThere();
  }

  #advance(chunk: number, generation: number): number {
    const next = nextGeneration(generation);
    this.#word[0] = next;
    writeFully(this.stateFd, this.#word, chunk * GENERATION_SIZE);
    return next;
  }

  #evictRun({ first, last }: ChunkRun): number {
    const words = new Uint32Array(last - first + 1);
    readSync(this.stateFd, words, 0, words.byteLength, first * GENERATION_SIZE);
    let present = 0;
    for (const [index, word] of words.entries()) {
      if (!isPresent(word)) continue;
      words[index] = nextGeneration(word);
      present += this.#chunks.uncompressedLength(first + index);
    }
    if (present === 0) return 0;
    writeFully(this.stateFd, words, first * GENERATION_SIZE);
    if (this.#punch(first, last)) return present;
    return present + this.#empty();
  }

  #punch(first: number, last: number): boolean {
    const start = this.#chunks.uncompressedOffset(first);
    const end = this.#chunks.uncompressedOffset(last) + this.#chunks.uncompressedLength(last);
    return this.#engine.punchHole(this.dataFd, start, end - start);
  }

  /** Where no hole can be punched, a device is emptied as a whole: the price of such a machine or file system. */
  #empty(): number {
    const bytes = emptyDevice(this.dataFd, this.stateFd);
    ftruncateSync(this.dataFd, this.#chunks.deviceSize);
    return bytes;
  }

  /**
   * Gives both files their sizes, and returns to the disk what a killed process left behind: data without a generation
   * that owns it.
   */
  #repair(): boolean {
    const { count, deviceSize } = this.#chunks;
    const stateSize = count * GENERATION_SIZE;
    if (fstatSync(this.stateFd).size !== stateSize) ftruncateSync(this.stateFd, stateSize);
    const data = fstatSync(this.dataFd);
    if (data.size !== deviceSize) ftruncateSync(this.dataFd, deviceSize);
    const words = this.generations();
    let present = 0;
    for (const [chunk, word] of words.entries()) if (isPresent(word)) present += this.#chunks.uncompressedLength(chunk);
    if (data.blocks * 512 <= present + UNACCOUNTED_BYTES) return false;
    for (const run of runsOf(words, (word) => !isPresent(word))) this.#punch(run.first, run.last);
    return true;
  }
}

/**
 * Makes every chunk absent and truncates the data. The caller holds the lock.
 * @returns bytes of disk that were in use
 */
export function emptyDevice(dataFd: number, stateFd: number): number {
  const words = new Uint32Array(Math.floor(fstatSync(stateFd).size / GENERATION_SIZE));
  if (words.length > 0) readSync(stateFd, words, 0, words.byteLength, 0);
  for (const [chunk, word] of words.entries()) if (isPresent(word)) words[chunk] = nextGeneration(word);
  writeFully(stateFd, words, 0);
  const { blocks } = fstatSync(dataFd);
  ftruncateSync(dataFd, 0);
  return blocks * 512;
}

function* runsOf(words: Uint32Array, matches: (word: number) => boolean): Generator<ChunkRun> {
  let first = -1;
  for (const [chunk, word] of words.entries()) {
    if (matches(word)) {
      if (first < 0) first = chunk;
    } else if (first >= 0) {
      yield { first, last: chunk - 1 };
      first = -1;
    }
  }
  if (first >= 0) yield { first, last: words.length - 1 };
}

function writeFully(fd: number, bytes: Uint8Array | Uint32Array, position: number): void {
  for (let done = 0; done < bytes.byteLength; ) {
    const part = new Uint8Array(bytes.buffer, bytes.byteOffset + done, bytes.byteLength - done);
    done += writeSync(fd, part, 0, part.length, position + done);
  }
}
