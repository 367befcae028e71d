import { IntegrityError } from '../errors.ts';
import {
  descriptorDigest,
  HASH_SIZE,
  HASHES_PER_BLOCK,
  hashBlock,
  hashBlockCounts,
  MERKLE_BLOCK_SIZE,
} from './merkle-format.ts';

/** A hash block by its place in the tree: level 0 holds hashes of pages, 128 in each block. */
export interface HashBlockAddress {
  readonly level: number;
  readonly index: number;
}

/**
 * Verifies single pages of a file of which only the fs-verity digest is trusted. The hash blocks between the digest and
 * a page are added first, from the top: each is verified against the one above it, so what is kept can only be a part of
 * the one tree that has this digest. That bounds its memory to a 127th of the file, whoever sends the blocks.
 */
export class PageVerifier {
  /** Levels of hash blocks; 0 for a file of one page or none. The highest has one block. */
  readonly levels: number;
  readonly #size: number;
  readonly #root: Uint8Array;
  /** For each level, verified hash blocks by index. */
  readonly #blocks: readonly Map<number, Uint8Array>[];

  /**
   * @param size - of the file, bytes
   * @param digest - its trusted fs-verity digest, 32 bytes; not kept
   * @param root - its root hash, 32 bytes, not trusted; copied
   * @throws {IntegrityError} SLUICE_MERKLE_MISMATCH when the digest is not that of this root and size
   */
  constructor(size: number, digest: Uint8Array, root: Uint8Array) {
    if (root.length !== HASH_SIZE || Buffer.compare(descriptorDigest(size, root), digest) !== 0) {
      throw mismatch('its root hash is not the one of its digest', { size });
    }
    this.levels = hashBlockCounts(size).length;
    this.#size = size;
    this.#root = root.slice();
    this.#blocks = Array.from({ length: this.levels }, () => new Map());
  }

  hasHashBlock({ level, index }: HashBlockAddress): boolean {
    return this.#blocks[level]?.has(index) === true;
  }

  /**
   * Adds a hash block below one that is here already; the one block of the highest level comes first. Idempotent.
   *
   * @param block - 4096 bytes; copied
   * @throws {IntegrityError} SLUICE_MERKLE_MISMATCH when it is not the block of this place, the block above it is
   *   missing, or there is no such place
   */
  addHashBlock({ level, index }: HashBlockAddress, block: Uint8Array): void {
    const blocks = this.#blocks[level];
    const isRight =
      blocks !== undefined && block.length === MERKLE_BLOCK_SIZE && this.#matches(level + 1, index, block);
    if (!isRight) throw mismatch(`hash block ${index} of level ${level} is not the right one`, { level, index });
    if (!blocks.has(index)) blocks.set(index, block.slice());
  }

  /**
   * @param page - counted from the start of the file
   * @param bytes - 4096 of them, fewer for the last page of a file that ends within it; not kept, shared memory is fine
   * @returns whether these are the page's bytes; false also when its hash block was not added, or there is no such page
   */
  verifyPage(page: number, bytes: Uint8Array): boolean {
    const length = page < 0 ? 0 : Math.min(MERKLE_BLOCK_SIZE, this.#size - page * MERKLE_BLOCK_SIZE);
    return length > 0 && bytes.length === length && this.#matches(0, page, bytes);
  }

  /** Whether hash number `index` of the hash blocks of `level` (above them all: the root) is that of `block`. */
  #matches(level: number, index: number, block: Uint8Array): boolean {
    const isRoot = level === this.levels;
    const holder = isRoot ? this.#root : this.#blocks[level]?.get(Math.floor(index / HASHES_PER_BLOCK));
    if (holder === undefined || (isRoot && index !== 0)) return false;
    const start = (index % HASHES_PER_BLOCK) * HASH_SIZE;
    return Buffer.compare(hashBlock(block), holder.subarray(start, start + HASH_SIZE)) === 0;
  }
}

/**
 * The hash blocks that are needed to verify some pages, in an order in which {@link PageVerifier.addHashBlock} takes them:
 * highest level first, then by index.
 *
 * @param size - of the file, bytes
 * @param runs - pages, within the file
 */
export function hashBlocksOf(size: number, runs: Iterable<{ page: number; pages: number }>): HashBlockAddress[] {
  const levels = hashBlockCounts(size).map(() => new Set<number>());
  for (const { page, pages } of runs) {
    let [first, last] = [page, page + pages - 1];
    for (const indexes of levels) {
      first = Math.floor(first / HASHES_PER_BLOCK);
      last = Math.floor(last / HASHES_PER_BLOCK);
      for (let index = first; index <= last; index++) indexes.add(index);
    }
  }
  return levels
    .flatMap((indexes, level) => Array.from(indexes, (index) => ({ level, index })))
    .sort((a, b) => b.level - a.level || a.index - b.index);
}

function mismatch(why: string, facts: Record<string, number>): IntegrityError {
  return new IntegrityError('SLUICE_MERKLE_MISMATCH', `Cannot verify pages: ${why}`, { facts });
}
