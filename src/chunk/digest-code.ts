import type { DigestAlgorithm } from '../digest/hash.ts';

/** How blobs and bootstraps write the digest algorithm of their chunks: one byte. 0 is not used, so that zeros are no file. */
const codes: Readonly<Record<DigestAlgorithm, number>> = { sha256: 1, blake3: 2 };

export function digestCode(algorithm: DigestAlgorithm): number {
  return codes[algorithm];
}

/** `undefined` for a code this version does not know. */
export function digestFromCode(code: number): DigestAlgorithm | undefined {
  if (code === codes.sha256) return 'sha256';
  return code === codes.blake3 ? 'blake3' : undefined;
}
