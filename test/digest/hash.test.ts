import { createHash } from 'node:crypto';
import { blake3 } from '@noble/hashes/blake3.js';
import { sha256 } from '@noble/hashes/sha2.js';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createHasher, type DigestAlgorithm, hash } from '../../src/digest/hash.ts';

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

/** FIPS 180-4's example, and the test vectors of the BLAKE3 team (input byte i is i mod 251). */
const vectors: readonly (readonly [DigestAlgorithm, Uint8Array, string])[] = [
  ['sha256', Buffer.from(''), 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'],
  ['sha256', Buffer.from('abc'), 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'],
  ['blake3', Buffer.from(''), 'af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262'],
  ['blake3', Buffer.from([0]), '2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213'],
  [
    'blake3',
    Uint8Array.from({ length: 1024 }, (_, i) => i % 251),
    '42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7',
  ],
];

describe('hash()', () => {
  it.each(vectors)('%s gives the published digest, case %#', (algorithm, bytes, expected) => {
    expect(hex(hash(algorithm, bytes))).toBe(expected);
    expect(hex(createHasher(algorithm).update(bytes).digest())).toBe(expected);
  });

  it('agrees with a second implementation on any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 5000 }), (bytes) => {
        expect(hex(hash('sha256', bytes))).toBe(hex(sha256(bytes)));
        expect(hex(hash('sha256', bytes))).toBe(createHash('sha256').update(bytes).digest('hex'));
        expect(hex(hash('blake3', bytes))).toBe(hex(blake3(bytes)));
      }),
    );
  });

  it.each(['sha256', 'blake3'] as const)('%s reads shared memory and views', (algorithm) => {
    const shared = new Uint8Array(new SharedArrayBuffer(100)).fill(7);
    expect(hex(hash(algorithm, shared.subarray(10, 20)))).toBe(hex(hash(algorithm, new Uint8Array(10).fill(7))));
  });

  it('gives a digest that later calls do not change', () => {
    const first = hash('sha256', Buffer.from('a'));
    const before = hex(first);
    for (let i = 0; i < 1000; i++) hash('sha256', Buffer.from(`${i}`));
    expect(hex(first)).toBe(before);
  });
});

describe('createHasher()', () => {
  it.each(['sha256', 'blake3'] as const)('%s over pieces is the digest of the whole', (algorithm) => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 2000 })), (pieces) => {
        const hasher = createHasher(algorithm);
        for (const piece of pieces) hasher.update(piece);
        expect(hex(hasher.digest())).toBe(hex(hash(algorithm, Buffer.concat(pieces))));
      }),
    );
  });
});
