import { hash } from './hash.ts';

/**
 * fs-verity as sluice uses it: SHA-256, blocks of 4096 bytes, no salt.
 *
 * The hashes of all pages of a file stand one after the other in *hash blocks* of level 0, 128 in each; the hashes of
 * those in hash blocks of level 1, and so on, until one hash is left: the *root hash*. What a block does not fill is
 * zero. The digest is that of a descriptor, which holds the root hash and the size of the file.
 * Source: Documentation/filesystems/fsverity.rst, "Merkle tree" and "fs-verity descriptor".
 */
export const MERKLE_BLOCK_SIZE = 4096;
export const HASH_SIZE = 32;
export const HASHES_PER_BLOCK = 128;

/** struct fsverity_descriptor of fs/verity/fsverity_private.h: little-endian, 256 bytes, what is not set is zero. */
const descriptorSize = 256;
const descriptorField = { version: 0, hashAlgorithm: 1, logBlockSize: 2, dataSize: 8, rootHash: 16 } as const;
/** FS_VERITY_HASH_ALG_SHA256 of include/uapi/linux/fsverity.h. */
const hashAlgorithmSha256 = 1;

/**
 * How many hash blocks each level of the tree over `size` bytes has, level 0 first. No level for a file of one page or
 * none: the root hash is then that of the page, or zeros.
 */
export function hashBlockCounts(size: number): number[] {
  const counts: number[] = [];
  for (let count = Math.ceil(size / MERKLE_BLOCK_SIZE); count > 1; counts.push(count)) {
    count = Math.ceil(count / HASHES_PER_BLOCK);
  }
  return counts;
}

/**
 * What the kernel's FS_IOC_MEASURE_VERITY gives for a file of `size` bytes with this root hash.
 *
 * @param rootHash - 32 bytes, not kept; all zeros for an empty file
 * @returns 32 bytes, the caller's
 */
export function descriptorDigest(size: number, rootHash: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(descriptorSize);
  const view = new DataView(bytes.buffer);
  view.setUint8(descriptorField.version, 1);
  view.setUint8(descriptorField.hashAlgorithm, hashAlgorithmSha256);
  view.setUint8(descriptorField.logBlockSize, Math.log2(MERKLE_BLOCK_SIZE));
  view.setBigUint64(descriptorField.dataSize, BigInt(size), true);
  bytes.set(rootHash, descriptorField.rootHash);
  return hash('sha256', bytes);
}

/**
 * The hash of one page or hash block.
 *
 * @param block - at most 4096 bytes, what is missing counts as zeros; not kept, shared memory is fine
 * @returns 32 bytes, the caller's
 */
export function hashBlock(block: Uint8Array): Uint8Array {
  if (block.length === MERKLE_BLOCK_SIZE) return hash('sha256', block);
  const padded = new Uint8Array(MERKLE_BLOCK_SIZE);
  padded.set(block);
  return hash('sha256', padded);
}
