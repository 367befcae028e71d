import { hash } from './hash.ts';

/** fs-verity as sluice uses it: SHA-256, blocks of 4096 bytes, no salt. */
const blockSize = 4096;
const hashSize = 32;

/** struct fsverity_descriptor of fs/verity/fsverity_private.h: little-endian, 256 bytes, what is not set is zero. */
const descriptorSize = 256;
const descriptorField = { version: 0, hashAlgorithm: 1, logBlockSize: 2, dataSize: 8, rootHash: 16 } as const;
/** FS_VERITY_HASH_ALG_SHA256 of include/uapi/linux/fsverity.h. */
const hashAlgorithmSha256 = 1;

/**
 * The Merkle tree of fs-verity over some bytes, of which it keeps the hash of each block: 32 bytes for each 4096.
 * Its {@link digest} stands for all bytes and their number; with it trusted, each block can be verified on its own.
 *
 * Source: Documentation/filesystems/fsverity.rst, "Merkle tree" and "fs-verity descriptor".
 */
export class MerkleTree {
  /** What `fsverity digest` prints, as 32 bytes. */
  readonly digest: Uint8Array;
  readonly #leaves: Uint8Array;
  readonly #size: number;

  /** @param bytes - the whole file; read once and not kept, shared memory is fine */
  constructor(bytes: Uint8Array) {
    this.#size = bytes.length;
    this.#leaves = hashBlocks(bytes);
    let level = this.#leaves;
    while (level.length > hashSize) level = hashBlocks(level);
    this.digest = hash('sha256', descriptor(bytes.length, level));
  }

  /**
   * @param index - of the block, counted from 0
   * @param block - 4096 bytes, fewer for the last block of the file; not kept
   * @returns whether these are the block's bytes; false also when there is no such block
   */
  verifyBlock(index: number, block: Uint8Array): boolean {
    const length = index < 0 ? 0 : Math.min(blockSize, this.#size - index * blockSize);
    if (length <= 0 || block.length !== length) return false;
    const expected = this.#leaves.subarray(index * hashSize, (index + 1) * hashSize);
    return Buffer.compare(hashBlock(block), expected) === 0;
  }
}

/**
 * The fs-verity digest of a file, 32 bytes, as `fsverity digest` and the kernel's FS_IOC_MEASURE_VERITY give it.
 *
 * @param bytes - the whole file; read once and not kept, shared memory is fine
 */
export function fsverityDigest(bytes: Uint8Array): Uint8Array {
  return new MerkleTree(bytes).digest;
}

/** The hashes of all blocks of `bytes`, one after the other: the next level of the tree. */
function hashBlocks(bytes: Uint8Array): Uint8Array {
  const count = Math.ceil(bytes.length / blockSize);
  const hashes = new Uint8Array(count * hashSize);
  for (let i = 0; i < count; i++) {
    hashes.set(hashBlock(bytes.subarray(i * blockSize, (i + 1) * blockSize)), i * hashSize);
  }
  return hashes;
}

/** A block that ends early counts as filled up with zeros. */
function hashBlock(block: Uint8Array): Uint8Array {
  if (block.length === blockSize) return hash('sha256', block);
  const padded = new Uint8Array(blockSize);
  padded.set(block);
  return hash('sha256', padded);
}

/** @param rootHash - empty for an empty file, whose root hash is all zeros */
function descriptor(dataSize: number, rootHash: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(descriptorSize);
  const view = new DataView(bytes.buffer);
  view.setUint8(descriptorField.version, 1);
  view.setUint8(descriptorField.hashAlgorithm, hashAlgorithmSha256);
  view.setUint8(descriptorField.logBlockSize, Math.log2(blockSize));
  view.setBigUint64(descriptorField.dataSize, BigInt(dataSize), true);
  bytes.set(rootHash, descriptorField.rootHash);
  return bytes;
}
