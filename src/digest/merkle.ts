import { descriptorDigest, HASH_SIZE, hashBlock, MERKLE_BLOCK_SIZE } from './merkle-format.ts';

/** What the whole tree comes down to. */
export interface MerkleRoot {
  /** Bytes of the file. */
  readonly size: number;
  /** 32 bytes; all zeros for an empty file. */
  readonly rootHash: Uint8Array;
  /** What `fsverity digest` prints, 32 bytes: it stands for root hash and size. */
  readonly digest: Uint8Array;
}

/**
 * Takes a finished hash block.
 *
 * @param level - 0 for the one that holds hashes of pages
 * @param index - among the blocks of its level
 * @param block - 4096 bytes, the receiver's
 */
export type OnHashBlock = (level: number, index: number, block: Uint8Array) => void;

/**
 * Builds the Merkle tree of fs-verity over a file that comes in pieces, from the front. Holds one block a level; who
 * wants more of the tree takes it as it goes by, lower levels before higher ones.
 */
export class MerkleBuilder {
  readonly #levels = [new Level()];
  readonly #onHashBlock: OnHashBlock | undefined;
  #size = 0;

  constructor(onHashBlock?: OnHashBlock) {
    this.#onHashBlock = onHashBlock;
  }

  /**
   * @param bytes - whole pages; only the last piece of a file may end within one. Not kept, shared memory is fine
   */
  addPages(bytes: Uint8Array): this {
    this.#grow(bytes.length);
    for (let offset = 0; offset < bytes.length; offset += MERKLE_BLOCK_SIZE) {
      this.#push(0, hashBlock(bytes.subarray(offset, offset + MERKLE_BLOCK_SIZE)));
    }
    return this;
  }

  /** @param hashes - what {@link pageHashes} gave for whole pages; not kept */
  addPageHashes(hashes: Uint8Array): this {
    if (hashes.length % HASH_SIZE !== 0) throw new RangeError('Cannot build Merkle tree: half a hash');
    this.#grow((hashes.length / HASH_SIZE) * MERKLE_BLOCK_SIZE);
    for (let offset = 0; offset < hashes.length; offset += HASH_SIZE) {
      this.#push(0, hashes.subarray(offset, offset + HASH_SIZE));
    }
    return this;
  }

  /** Ends the file. Called once, last. */
  finish(): MerkleRoot {
    let level = 0;
    while (this.#level(level).count > 1) this.#flush(level++);
    const rootHash = this.#level(level).block.slice(0, HASH_SIZE);
    return { size: this.#size, rootHash, digest: descriptorDigest(this.#size, rootHash) };
  }

  #grow(length: number): void {
    if (this.#size % MERKLE_BLOCK_SIZE !== 0) throw new RangeError('Cannot build Merkle tree: bytes after half a page');
    this.#size += length;
  }

  /** A full block is let go only when another hash follows: a level with one hash in all is none, but the root. */
  #push(index: number, hash: Uint8Array): void {
    const level = this.#level(index);
    if (level.used === MERKLE_BLOCK_SIZE) this.#flush(index);
    level.block.set(hash, level.used);
    level.used += HASH_SIZE;
    level.count++;
  }

  #flush(index: number): void {
    const level = this.#level(index);
    this.#push(index + 1, hashBlock(level.block));
    this.#onHashBlock?.(index, level.flushed++, level.block.slice());
    level.block.fill(0);
    level.used = 0;
  }

  #level(index: number): Level {
    this.#levels[index] ??= new Level();
    return this.#levels[index];
  }
}

/** The hash block of a level that is being filled. */
class Level {
  readonly block = new Uint8Array(MERKLE_BLOCK_SIZE);
  used = 0;
  flushed = 0;
  /** Hashes of the level so far. */
  count = 0;
}

/**
 * The hashes of all pages of `bytes`, 32 bytes each, one after the other. Made in any thread, put together by
 * {@link MerkleBuilder.addPageHashes}.
 *
 * @param bytes - not kept, shared memory is fine
 */
export function pageHashes(bytes: Uint8Array): Uint8Array {
  const hashes = new Uint8Array(Math.ceil(bytes.length / MERKLE_BLOCK_SIZE) * HASH_SIZE);
  for (let page = 0; page * MERKLE_BLOCK_SIZE < bytes.length; page++) {
    const start = page * MERKLE_BLOCK_SIZE;
    hashes.set(hashBlock(bytes.subarray(start, start + MERKLE_BLOCK_SIZE)), page * HASH_SIZE);
  }
  return hashes;
}

/**
 * The fs-verity digest of a file, 32 bytes, as `fsverity digest` and the kernel's FS_IOC_MEASURE_VERITY give it.
 *
 * @param bytes - the whole file; read once and not kept, shared memory is fine
 */
export function fsverityDigest(bytes: Uint8Array): Uint8Array {
  return new MerkleBuilder().addPages(bytes).finish().digest;
}
