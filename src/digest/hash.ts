import { createHash, hash as oneShot } from 'node:crypto';
import { blake3 } from '@noble/hashes/blake3.js';

/** SHA-256 is OCI's, fs-verity's and the default; BLAKE3 (32 bytes, no key) is the choice of `--digest blake3`. */
export type DigestAlgorithm = 'sha256' | 'blake3';

/** A digest over bytes that come in pieces. Used once: nothing may follow `digest()`. */
export interface Hasher {
  /** @param bytes - read during the call only; shared memory is fine */
  update(bytes: Uint8Array): this;
  /** @returns 32 bytes, the caller's */
  digest(): Uint8Array;
}

export function createHasher(algorithm: DigestAlgorithm): Hasher {
  return algorithm === 'sha256' ? createHash('sha256') : blake3.create();
}

/**
 * The digest of `bytes` in one call, the fast way for small buffers.
 *
 * @param bytes - read during the call only; shared memory is fine
 * @returns 32 bytes, the caller's
 */
export function hash(algorithm: DigestAlgorithm, bytes: Uint8Array): Uint8Array {
  if (algorithm === 'blake3') return blake3(bytes);
  // A string of 32 characters is cheaper to bring over from OpenSSL than a new buffer: 64 bytes of input take 0.4 µs
  // this way, 1.1 µs with 'buffer' and 1.3 µs with createHash. From 128 KiB on all are alike.
  return Buffer.from(oneShot('sha256', bytes, 'binary'), 'latin1');
}
