import { readSync } from 'node:fs';
import path from 'node:path';
import type { CachedDevice } from './cached-device.ts';
import { readDeviceMap } from './device-map.ts';
import { DigestIndex, type IndexedChunk } from './digest-index.ts';
import { blobOf, closeBoth, listDevices, openExistingDevice } from './directory.ts';
import { GENERATION_SIZE, isPresent } from './generation.ts';

/** A chunk that lies in another device. Its files are open until {@link FoundChunk.close}. */
export interface FoundChunk {
  /** Verified, in a buffer of the caller's. */
  readonly bytes: Uint8Array;
  /** 64 hex digits. */
  readonly blob: string;
  readonly dataFd: number;
  /** Where the chunk begins in `dataFd`. */
  readonly offset: number;
  /** Whether `dataFd` still holds {@link FoundChunk.bytes}: what was read from it *before* this call is good then. */
  isStillThere(): boolean;
  close(): void;
}

/** How often devices are looked for that other processes made. */
const LOOK_AGAIN_MS = 10_000;

/** A chunk that is waited for does not wait longer than this for devices to be indexed; the next one goes on. */
const INDEXING_MS = 5;

/** A hostile image can have one digest in any number of places: this bounds what a miss may try. */
const MAXIMUM_ATTEMPTS = 8;

/**
 * Finds chunks that a device lacks in the other devices of the cache, whoever filled them.
 *
 * Devices that this process has open are asked; of all others the files are opened, read, and closed again.
 */
export class ChunkFinder {
  readonly #folder: string;
  readonly #devices: ReadonlyMap<string, CachedDevice>;
  readonly #index = new DigestIndex();
  #waiting: string[] = [];
  #lookAt = 0;

  /** @param folder - of the devices @param devices - those that are open here, by name; read at each call */
  constructor(folder: string, devices: ReadonlyMap<string, CachedDevice>) {
    this.#folder = folder;
    this.#devices = devices;
  }

  /** A device was opened: it is known from the next call on. */
  opened(): void {
    this.#lookAt = 0;
  }

  /** @returns undefined when no other device has the bytes of `wanted`'s chunk */
  find(wanted: CachedDevice, chunk: number): FoundChunk | undefined {
    this.#look();
    const digest = wanted.chunks.digest(chunk);
    const places = this.#index.find(digest, wanted.algorithm).filter(({ name }) => name !== wanted.name);
    for (const place of places.slice(0, MAXIMUM_ATTEMPTS)) {
      const open = this.#devices.get(place.name);
      if (open === undefined) {
        const found = this.#read(place, wanted, chunk);
        if (found !== undefined) return found;
      } else if (Buffer.compare(open.chunks.digest(place.chunk), digest) === 0) {
        const found = open.find(place.chunk);
        if (found !== undefined) return found;
      }
    }
    return undefined;
  }

  /** Reads a chunk of a device that nobody here has open. */
  #read(place: IndexedChunk, wanted: CachedDevice, chunk: number): FoundChunk | undefined {
    const handles = openExistingDevice(path.join(this.#folder, place.name));
    if (handles === undefined) return undefined;
    const { dataFd, stateFd } = handles;
    const close = (): void => closeBoth(handles);
    try {
      const generation = readGeneration(stateFd, place.chunk);
      const isStillThere = (): boolean => readGeneration(stateFd, place.chunk) === generation;
      const bytes = isPresent(generation)
        ? readPart(dataFd, place.offset, wanted.chunks.uncompressedLength(chunk))
        : undefined;
      if (bytes !== undefined && isStillThere() && wanted.isContent(chunk, bytes)) {
        return { bytes, blob: blobOf(place.name), dataFd, offset: place.offset, isStillThere, close };
      }
    } catch {
      // A device that cannot be read is one that does not have the chunk.
    }
    close();
    return undefined;
  }

  /** Brings the index up to date, a few milliseconds at a time: at least one device a call. */
  #look(): void {
    const begun = performance.now();
    if (this.#waiting.length === 0) {
      if (begun < this.#lookAt) return;
      this.#lookAt = begun + LOOK_AGAIN_MS;
      this.#list();
    }
    do {
      const name = this.#waiting.pop();
      if (name === undefined) return;
      const map = this.#devices.get(name) ?? readDeviceMap(path.join(this.#folder, name));
      if (map !== undefined) this.#index.add(name, map);
    } while (performance.now() - begun < INDEXING_MS);
  }

  /** What is there and not indexed yet waits, the latest used last: it is taken first. */
  #list(): void {
    const entries = listDevices(this.#folder).sort((a, b) => a.lastUsedMs - b.lastUsedMs);
    const there = new Set(entries.map(({ name }) => name));
    for (const name of this.#index.names) if (!there.has(name)) this.#index.remove(name);
    this.#waiting = entries.map(({ name }) => name).filter((name) => !this.#index.has(name));
  }
}

function readGeneration(stateFd: number, chunk: number): number {
  const word = new Uint32Array(1);
  readSync(stateFd, word, 0, GENERATION_SIZE, chunk * GENERATION_SIZE);
  return word[0] ?? 0;
}

function readPart(fd: number, offset: number, length: number): Buffer | undefined {
  const bytes = Buffer.allocUnsafeSlow(length);
  return readSync(fd, bytes, 0, length, offset) === length ? bytes : undefined;
}
