import { statfsSync } from 'node:fs';

/** What the cache may use of its disk. */
export interface Bounds {
  /** Of the whole cache, all processes together. Bytes. */
  readonly maximumBytes: number;
  /** What the cache leaves free on its disk for others. Bytes. */
  readonly minimumFreeBytes: number;
}

/** What was found on the disk, in bytes. */
export interface Measured {
  /** In use by the cache, all processes together. */
  readonly bytes: number;
  /** Free on the disk, for this user. */
  readonly freeBytes: number;
  /** What the cache may use now: its bound, or less where the disk is about to be full. Can be negative. */
  readonly limit: number;
}

/**
 * What a process may store before it measures again: this part of what is free, and never more than a run of chunks.
 * Other processes have the same right at the same time, and cannot be asked.
 */
const UNMEASURED_SHARE = 1 / 8;
const UNMEASURED_BYTES = 8 * 2 ** 20;

/** A right that was not used for so long is void: others have stored meanwhile. Measuring 100 devices takes 1 ms. */
const RIGHT_LIFE_MS = 250;

const DEFAULT_FREE_SHARE = 1 / 20;
const DEFAULT_FREE_BYTES = 2 * 2 ** 30;

/** 2 GiB, or a twentieth of a small disk. @param folder - on that disk */
export function defaultMinimumFree(folder: string): number {
  const { blocks, bsize } = statfsSync(folder);
  return Math.min(DEFAULT_FREE_BYTES, Math.floor(blocks * bsize * DEFAULT_FREE_SHARE));
}

/**
 * The account of what may be stored. Nothing in it outlives the process: what is in use is measured, and between two
 * measurements a process stores so little that all of them together stay within a chunk run each of the bound.
 */
export class Room {
  readonly bounds: Bounds;
  readonly #folder: string;
  readonly #usage: () => number;
  #left = 0;
  #validUntil = 0;

  /** @param folder - on the cache's disk @param usage - bytes in use now */
  constructor(folder: string, bounds: Bounds, usage: () => number) {
    this.#folder = folder;
    this.bounds = bounds;
    this.#usage = usage;
  }

  /** Takes `bytes` of what may be stored unmeasured; false when that is not so much, or is out of date. */
  take(bytes: number): boolean {
    if (bytes > this.#left || performance.now() > this.#validUntil) return false;
    this.#left -= bytes;
    return true;
  }

  /** What was measured gives a new right, of which `bytes` are taken at once; false when there is no room for them. */
  grant({ bytes: used, limit }: Measured, bytes: number): boolean {
    const free = limit - used;
    if (bytes > free) return false;
    this.#left = Math.min(free * UNMEASURED_SHARE, UNMEASURED_BYTES) - bytes;
    this.#validUntil = performance.now() + RIGHT_LIFE_MS;
    return true;
  }

  /** @throws the errno error of a folder that is gone or a disk that is broken */
  measure(): Measured {
    const { maximumBytes, minimumFreeBytes } = this.bounds;
    const bytes = this.#usage();
    const { bavail, bsize } = statfsSync(this.#folder);
    const freeBytes = bavail * bsize;
    return { bytes, freeBytes, limit: Math.min(maximumBytes, bytes + freeBytes - minimumFreeBytes) };
  }
}
