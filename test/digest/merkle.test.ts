import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { hash } from '../../src/digest/hash.ts';
import { fsverityDigest, MerkleTree } from '../../src/digest/merkle.ts';
import { withTemporaryDirectory } from '../support/temporary.ts';
import { has } from '../support/tools.ts';

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const block = 4096;

/** Bytes that differ from block to block, the same in every run. */
function content(size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  let state = size + 1;
  for (let i = 0; i < size; i++) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

/** Around the borders of a block, of one level (128 blocks) and of two (128 * 128 blocks). */
const sizes = [0, 1, 4095, 4096, 4097, 2 * block, 128 * block - 1, 128 * block, 128 * block + 1, 129 * block].concat([
  128 * 128 * block,
  128 * 128 * block + 1,
]);

describe('fsverityDigest()', () => {
  it.skipIf(!has('fsverity'))('equals `fsverity digest` at every border of the tree', async () => {
    await withTemporaryDirectory((directory) => {
      for (const size of sizes) {
        const file = path.join(directory, `${size}`);
        const bytes = content(size);
        writeFileSync(file, bytes);
        const printed = execFileSync('fsverity', ['digest', '--compact', '--hash-alg=sha256', file], {
          encoding: 'utf8',
        });
        expect(hex(fsverityDigest(bytes)), `${size} bytes`).toBe(printed.trim());
      }
    });
  });

  it.each([
    [0, '3d248ca542a24fc62d1c43b916eae5016878e2533c88238480b26128a1f1af95'],
    [4097, '6fa3ff442eae0b4ba43397e0b1f38bf451d2d1ea33e13cbaf311a4028a86a735'],
  ])('of %i bytes is what it always was', (size, expected) => {
    expect(hex(fsverityDigest(content(size)))).toBe(expected);
  });

  it('reads shared memory', () => {
    const shared = new Uint8Array(new SharedArrayBuffer(5000)).fill(3);
    expect(hex(fsverityDigest(shared))).toBe(hex(fsverityDigest(new Uint8Array(5000).fill(3))));
  });

  it('tells the zeros of the padding from zeros of the file', () => {
    expect(hex(fsverityDigest(new Uint8Array(10)))).not.toBe(hex(fsverityDigest(new Uint8Array(11))));
  });
});

describe('MerkleTree.verifyBlock()', () => {
  const size = 3 * block + 100;
  const bytes = content(size);
  const tree = new MerkleTree(bytes);
  const blockAt = (index: number) => bytes.slice(index * block, (index + 1) * block);

  it('takes every block of the file', () => {
    for (let i = 0; i < 4; i++) expect(tree.verifyBlock(i, blockAt(i))).toBe(true);
    expect(hex(tree.digest)).toBe(hex(fsverityDigest(bytes)));
  });

  it('refuses one flipped bit anywhere in a block', () => {
    for (let bit = 0; bit < 100 * 8; bit += 7) {
      const bad = blockAt(3);
      bad[bit >> 3]! ^= 1 << (bit & 7);
      expect(tree.verifyBlock(3, bad)).toBe(false);
    }
  });

  it.each([
    ['another block', 0, blockAt(1)],
    ['a block behind the end', 4, blockAt(3)],
    ['a block before the start', -2, blockAt(2)],
    ['no bytes', 4, new Uint8Array(0)],
    ['the last block with its padding', 3, Buffer.concat([blockAt(3), new Uint8Array(block - 100)])],
    ['two blocks', 0, bytes.slice(0, 2 * block)],
  ])('refuses %s', (_name, index, bad) => {
    expect(tree.verifyBlock(index, bad)).toBe(false);
  });

  it('holds the SHA-256 of a whole block, unsalted', () => {
    const tree1 = new MerkleTree(blockAt(0));
    const descriptor = Buffer.alloc(256);
    descriptor.set([1, 1, 12, 0]);
    descriptor.writeBigUInt64LE(BigInt(block), 8);
    descriptor.set(hash('sha256', blockAt(0)), 16);
    expect(hex(tree1.digest)).toBe(hex(hash('sha256', descriptor)));
  });
});
