import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MerkleBuilder, type MerkleRoot } from '../../src/digest/merkle.ts';
import { type HashBlockAddress, hashBlocksOf, PageVerifier } from '../../src/digest/page-verifier.ts';
import { IntegrityError } from '../../src/errors.ts';
import { content } from '../support/content.ts';
import { fuzz } from '../support/fuzz.ts';

const pageSize = 4096;

/** Page number `index` of a synthetic file: its number and zeros. */
function pageAt(size: number, index: number): Uint8Array {
  const page = Buffer.alloc(Math.min(pageSize, size - index * pageSize));
  for (let rest = index, at = 0; at < page.length && rest > 0; rest = Math.floor(rest / 256)) page[at++] = rest & 0xff;
  return page;
}

const key = ({ level, index }: HashBlockAddress): string => `${level}/${index}`;

function build(size: number): { root: MerkleRoot; blocks: Map<string, Uint8Array> } {
  const blocks = new Map<string, Uint8Array>();
  const builder = new MerkleBuilder((level, index, block) => blocks.set(key({ level, index }), block));
  for (let page = 0; page * pageSize < size; page++) builder.addPages(pageAt(size, page));
  return { root: builder.finish(), blocks };
}

function verifierOf({ size, digest, rootHash }: MerkleRoot): PageVerifier {
  return new PageVerifier(size, digest, rootHash);
}

const code = 'SLUICE_MERKLE_MISMATCH';

describe('PageVerifier.verifyPage()', () => {
  it.each([1, 100, 4096, 4097, 128 * 4096, 129 * 4096, 4096 * 4096, 16_384 * 4096, 16_385 * 4096])(
    'takes every page of a file of %i bytes, and nothing else in its place',
    (size) => {
      const { root, blocks } = build(size);
      const verifier = verifierOf(root);
      const pages = Math.ceil(size / pageSize);
      for (const address of hashBlocksOf(size, [{ page: 0, pages }])) {
        verifier.addHashBlock(address, blocks.get(key(address))!);
      }
      for (let page = 0; page < pages; page++) {
        if (!verifier.verifyPage(page, pageAt(size, page))) expect.fail(`page ${page} is refused`);
      }
      expect(verifier.verifyPage(pages, Buffer.alloc(pageSize))).toBe(false);
      if (pages > 1) expect(verifier.verifyPage(1, pageAt(size, 0))).toBe(false);
    },
  );

  it('takes any pages with the hash blocks that hashBlocksOf() names, and no flipped bit in them', () => {
    const sizes = fc.integer({ min: 1, max: 300 * pageSize });
    fc.assert(
      fc.property(sizes, fc.nat(), fc.nat(), fc.nat(), (size, start, length, bit) => {
        const { root, blocks } = build(size);
        const count = Math.ceil(size / pageSize);
        const page = start % count;
        const run = { page, pages: 1 + (length % (count - page)) };
        const verifier = verifierOf(root);
        for (const address of hashBlocksOf(size, [run])) verifier.addHashBlock(address, blocks.get(key(address))!);
        for (let i = run.page; i < run.page + run.pages; i++)
          expect(verifier.verifyPage(i, pageAt(size, i))).toBe(true);
        const bad = Buffer.from(pageAt(size, page));
        bad[(bit >> 3) % bad.length]! ^= 1 << (bit & 7);
        expect(verifier.verifyPage(page, bad)).toBe(false);
      }),
      { numRuns: 60 },
    );
  });

  it('takes no page whose hash block is missing', () => {
    const { root, blocks } = build(300 * pageSize);
    const verifier = verifierOf(root);
    for (const address of hashBlocksOf(root.size, [{ page: 130, pages: 2 }])) {
      verifier.addHashBlock(address, blocks.get(key(address))!);
    }
    expect(verifier.hasHashBlock({ level: 0, index: 1 })).toBe(true);
    expect(verifier.hasHashBlock({ level: 0, index: 0 })).toBe(false);
    expect(verifier.verifyPage(255, pageAt(root.size, 255))).toBe(true);
    expect(verifier.verifyPage(127, pageAt(root.size, 127))).toBe(false);
  });

  it('takes no page that does not exist, and none of another length', () => {
    const { root, blocks } = build(2 * pageSize + 10);
    const verifier = verifierOf(root);
    verifier.addHashBlock({ level: 0, index: 0 }, blocks.get('0/0')!);
    const last = pageAt(root.size, 2);
    expect(verifier.verifyPage(2, last)).toBe(true);
    expect(verifier.verifyPage(2, Buffer.concat([last, Buffer.alloc(pageSize - 10)]))).toBe(false);
    for (const page of [-1, 0.5, 3, 128, Number.NaN, 2 ** 53]) expect(verifier.verifyPage(page, last)).toBe(false);
    // What follows the last hash in its block is zero: nothing hashes to that, an empty page least of all.
    expect(verifier.verifyPage(3, Buffer.alloc(pageSize))).toBe(false);
  });

  it('verifies one page only, or only its own bytes, after any damage', () => {
    const bytes = content('merkle', 3 * pageSize);
    const root = new MerkleBuilder().addPages(bytes).finish();
    const verifier = verifierOf(root);
    new MerkleBuilder((level, index, block) => verifier.addHashBlock({ level, index }, block)).addPages(bytes).finish();
    const page = bytes.subarray(pageSize, 2 * pageSize);
    fuzz(2000, page, (damaged) => {
      expect(verifier.verifyPage(1, damaged)).toBe(Buffer.compare(damaged, page) === 0);
    });
  });
});

describe('PageVerifier.addHashBlock()', () => {
  const { root, blocks } = build(300 * pageSize);

  it('refuses a block before the one above it', () => {
    const verifier = verifierOf(root);
    expect(() => verifier.addHashBlock({ level: 0, index: 1 }, blocks.get('0/1')!)).toThrow(
      expect.objectContaining({ code }),
    );
    verifier.addHashBlock({ level: 1, index: 0 }, blocks.get('1/0')!);
    verifier.addHashBlock({ level: 0, index: 1 }, blocks.get('0/1')!);
    verifier.addHashBlock({ level: 0, index: 1 }, blocks.get('0/1')!);
  });

  it.each([
    ['at another place', { level: 0, index: 1 }, blocks.get('0/0')!],
    ['of a level that is not', { level: 2, index: 0 }, blocks.get('1/0')!],
    ['of a negative level', { level: -1, index: 0 }, Buffer.alloc(pageSize)],
    ['behind the last of its level', { level: 0, index: 3 }, Buffer.alloc(pageSize)],
    ['beside the only one of the top', { level: 1, index: 1 }, blocks.get('1/0')!],
    ['128 places behind the only one of the top', { level: 1, index: 128 }, blocks.get('1/0')!],
    ['cut short', { level: 0, index: 0 }, blocks.get('0/0')!.subarray(0, 4095)],
    ['without its zeros', { level: 0, index: 2 }, blocks.get('0/2')!.subarray(0, 44 * 32)],
  ])('refuses a block %s', (_name, address, block) => {
    const verifier = verifierOf(root);
    verifier.addHashBlock({ level: 1, index: 0 }, blocks.get('1/0')!);
    expect(() => verifier.addHashBlock(address, block)).toThrow(IntegrityError);
  });

  it('refuses any flipped bit', () => {
    for (let bit = 0; bit < pageSize * 8; bit += 1013) {
      const bad = Buffer.from(blocks.get('1/0')!);
      bad[bit >> 3]! ^= 1 << (bit & 7);
      expect(() => verifierOf(root).addHashBlock({ level: 1, index: 0 }, bad)).toThrow(
        expect.objectContaining({ code }),
      );
    }
  });
});

describe('new PageVerifier()', () => {
  const { root } = build(300 * pageSize);

  it.each([
    ['another size', { ...root, size: root.size - 1 }],
    ['another root', { ...root, rootHash: root.digest }],
    ['a root that is cut short', { ...root, rootHash: root.rootHash.subarray(0, 31) }],
    ['another digest', { ...root, digest: root.rootHash }],
    ['no digest', { ...root, digest: new Uint8Array(0) }],
  ])('refuses %s', (_name, bad) => {
    expect(() => verifierOf(bad)).toThrow(expect.objectContaining({ code }));
  });

  it('has no levels for a page or nothing', () => {
    expect(verifierOf(build(0).root).levels).toBe(0);
    expect(verifierOf(build(4096).root).levels).toBe(0);
    expect(verifierOf(root).levels).toBe(2);
  });
});
