import { createHash } from 'node:crypto';

/** Bytes that look random and are the same on every run: SHAKE256 of the seed. */
export function content(seed: string | number, length: number): Uint8Array<ArrayBuffer> {
  const bytes = createHash('shake256', { outputLength: Math.max(length, 1) })
    .update(`content ${seed}`)
    .digest();
  return new Uint8Array(bytes.subarray(0, length));
}

export function sha256Hex(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
