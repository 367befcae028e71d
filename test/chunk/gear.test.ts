import { describe, expect, it } from 'vitest';
import { gearHash, gearTable } from '../../src/chunk/gear.ts';
import { content, sha256Hex } from '../support/content.ts';

describe('gearTable', () => {
  it('is the normative one', () => {
    const bytes = Buffer.alloc(1024);
    for (const [i, word] of gearTable.entries()) bytes.writeUInt32LE(word, i * 4);
    expect(sha256Hex(bytes)).toBe('1eb448e384a565a370371d0d1e55de8ab40cc19c04b115f10a15aae32a2afd23');
    expect(gearTable.length).toBe(256);
  });
});

describe('gearHash()', () => {
  const bytes = content('gear', 4096);

  it('is the sum of shifted table words, modulo 2^32', () => {
    let sum = 0n;
    for (let age = 0; age < 32; age++) sum += BigInt(gearTable[bytes[4095 - age] ?? 0] ?? 0) << BigInt(age);
    expect(gearHash(bytes, 4096)).toBe(Number(sum % 2n ** 32n));
  });

  it('depends on the 32 bytes before the end, and on all of them', () => {
    const hash = gearHash(bytes, 4096);
    for (const [index, same] of [
      [0, true],
      [4063, true],
      [4064, false],
      [4095, false],
    ] as const) {
      const changed = bytes.slice();
      changed[index] = (changed[index] ?? 0) ^ 1;
      expect(gearHash(changed, 4096) === hash, `byte ${index}`).toBe(same);
    }
  });

  it('takes what there is of a short content', () => {
    expect(gearHash(bytes, 0)).toBe(0);
    expect(gearHash(bytes, 1)).toBe(gearTable[bytes[0] ?? 0]);
  });

  it('never cuts within zeros, which are best kept in one frame', () => {
    expect(gearHash(new Uint8Array(4096), 4096)).toBeGreaterThan(2 ** 32 / 8);
  });
});
