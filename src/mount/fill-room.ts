import type { CacheState } from '../cache/chunk-cache.ts';
import { CacheError } from '../errors.ts';
import type { LocalContent } from './local-content.ts';

/** What a fill has to know of the cache that it fills. */
export interface BoundedCache {
  state(): Pick<CacheState, 'writable' | 'bytes' | 'freeBytes' | 'maximumBytes' | 'minimumFreeBytes'>;
}

/** Left alone, so that readers can store without evicting; at most this part of the bound. */
const SPARE_BYTES = 16 * 1024 * 1024;
const SPARE_SHARE = 1 / 16;

/** So much is taken before the cache is measured again: others store too. */
const UNMEASURED_BYTES = 16 * 1024 * 1024;

/** The room that a cache has for the rest of an image. All bytes are uncompressed. */
export class FillRoom {
  readonly #reference: string;
  readonly #cache: BoundedCache;
  readonly #local: LocalContent;
  #allowance = 0;
  /** Taken, and not stored yet. */
  #underWay = 0;

  /** @param reference - for messages */
  constructor(reference: string, cache: BoundedCache, local: LocalContent) {
    this.#reference = reference;
    this.#cache = cache;
    this.#local = local;
  }

  /** @throws {CacheError} SLUICE_CACHE_FULL when the cache could not hold the image if it held nothing else */
  check(): void {
    const { bytes, freeBytes, maximumBytes, minimumFreeBytes } = this.#cache.state();
    const most = Math.max(0, Math.min(maximumBytes, bytes + freeBytes - minimumFreeBytes));
    const wanted = this.#local.total.bytes;
    if (wanted <= most) return;
    const bound = most === maximumBytes ? '--cache-size' : 'its disk leaves it no more';
    throw this.error(`the image has ${wanted} bytes, the cache at most ${most}: ${bound}`);
  }

  error(why: string): CacheError {
    return new CacheError('SLUICE_CACHE_FULL', `Cannot fill "${this.#reference}": ${why}`);
  }

  /** Takes `bytes` that can be stored without evicting anything; false when there is no room for them. */
  take(bytes: number): boolean {
    if (bytes > this.#allowance) this.#allowance = Math.min(this.#free() - this.#underWay, UNMEASURED_BYTES);
    if (bytes > this.#allowance) return false;
    this.#allowance -= bytes;
    this.#underWay += bytes;
    return true;
  }

  /** What was taken is stored, or will not be. */
  settled(bytes: number): void {
    this.#underWay -= bytes;
  }

  /** Whether all that is missing can be stored without evicting anything. */
  fitsAll(): boolean {
    return this.#local.missingBytes <= this.#free();
  }

  #free(): number {
    const { writable, bytes, freeBytes, maximumBytes, minimumFreeBytes } = this.#cache.state();
    if (!writable) return 0;
    const spare = Math.min(SPARE_BYTES, maximumBytes * SPARE_SHARE);
    return Math.max(0, Math.min(maximumBytes - bytes, freeBytes - minimumFreeBytes) - spare);
  }
}
