import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { hash } from '../../src/digest/hash.ts';
import { fsverityDigest, MerkleBuilder, pageHashes } from '../../src/digest/merkle.ts';
import { hashBlockCounts } from '../../src/digest/merkle-format.ts';
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

describe('MerkleBuilder', () => {
  const bytes = content(130 * block + 7);

  it('gives one digest however the pages come in', () => {
    const expected = hex(fsverityDigest(bytes));
    const whole = 128 * block;
    const mixed = new MerkleBuilder()
      .addPages(bytes.subarray(0, block))
      .addPageHashes(pageHashes(bytes.subarray(block, whole)));
    expect(hex(mixed.addPages(bytes.subarray(whole)).finish().digest)).toBe(expected);
    const single = new MerkleBuilder();
    for (let at = 0; at < bytes.length; at += block) single.addPages(bytes.subarray(at, at + block));
    expect(hex(single.finish().digest)).toBe(expected);
  });

  it('takes nothing behind half a page, and no half hash', () => {
    expect(() => new MerkleBuilder().addPages(bytes).addPages(bytes)).toThrow(RangeError);
    expect(() => new MerkleBuilder().addPages(bytes).addPageHashes(new Uint8Array(32))).toThrow(RangeError);
    expect(() => new MerkleBuilder().addPageHashes(new Uint8Array(31))).toThrow(RangeError);
  });

  it('lets hash blocks go by, each once, all of each level', () => {
    const seen: string[] = [];
    new MerkleBuilder((level, index) => seen.push(`${level}/${index}`)).addPages(bytes).finish();
    expect(seen).toEqual(['0/0', '0/1', '1/0']);
    expect(hashBlockCounts(bytes.length)).toEqual([2, 1]);
  });

  it('holds the SHA-256 of a page, unsalted', () => {
    const page = bytes.subarray(0, block);
    const descriptor = Buffer.alloc(256);
    descriptor.set([1, 1, 12, 0]);
    descriptor.writeBigUInt64LE(BigInt(block), 8);
    descriptor.set(hash('sha256', page), 16);
    expect(hex(new MerkleBuilder().addPages(page).finish().digest)).toBe(hex(hash('sha256', descriptor)));
  });
});
