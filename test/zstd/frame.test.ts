import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SluiceError } from '../../src/errors.ts';
import {
  maximumWindowSize,
  rawFrame,
  rawFrameLength,
  readBlockHeader,
  readFrameHeader,
  rleFrame,
  skippableFrame,
} from '../../src/zstd/frame.ts';
import { has } from '../support/tools.ts';
import { noise } from './samples.ts';

const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex');
const hasZstd = has('zstd');
const zstd = (input: Uint8Array, ...options: string[]) =>
  execFileSync('zstd', ['-q', '-c', ...options], { input, maxBuffer: 2 ** 28 });

const data = { kind: 'data', hasChecksum: false };

describe('readFrameHeader()', () => {
  it.each([
    ['one byte of size', '28b52ffd 20 07', { ...data, headerLength: 6, windowSize: 7, contentSize: 7 }],
    ['two bytes of size', '28b52ffd 60 0100', { ...data, headerLength: 7, windowSize: 257, contentSize: 257 }],
    [
      'four bytes of size',
      '28b52ffd a0 00000200',
      { ...data, headerLength: 9, windowSize: 131072, contentSize: 131072 },
    ],
    [
      'eight bytes of size',
      '28b52ffd c0 58 0000000001000000',
      { ...data, headerLength: 14, windowSize: 2 ** 21, contentSize: 2 ** 32 },
    ],
    ['no size', '28b52ffd 00 58', { ...data, headerLength: 6, windowSize: 2 ** 21, contentSize: undefined }],
    [
      'a window between powers of two',
      '28b52ffd 00 5b',
      { ...data, headerLength: 6, windowSize: 2 ** 21 + 3 * 2 ** 18, contentSize: undefined },
    ],
    [
      'the largest window',
      '28b52ffd 00 88',
      { ...data, headerLength: 6, windowSize: maximumWindowSize, contentSize: undefined },
    ],
    [
      'a checksum',
      '28b52ffd 24 07',
      { kind: 'data', hasChecksum: true, headerLength: 6, windowSize: 7, contentSize: 7 },
    ],
    [
      'dictionary ID 0, which is none',
      '28b52ffd 21 00 07',
      { ...data, headerLength: 7, windowSize: 7, contentSize: 7 },
    ],
    ['a skippable frame', '502a4d18 01020000', { kind: 'skippable', headerLength: 8, payloadLength: 513 }],
    [
      'a skippable frame of another kind',
      '5f2a4d18 00000000',
      { kind: 'skippable', headerLength: 8, payloadLength: 0 },
    ],
  ])('reads %s, and wants all of it', (_name, header, expected) => {
    const bytes = hex(header);
    expect(readFrameHeader(Buffer.concat([bytes, noise(20)]))).toEqual(expected);
    for (let i = 0; i < bytes.length; i++) expect(readFrameHeader(bytes.subarray(0, i))).toBeUndefined();
  });

  it.each([
    ['another magic number', '1f8b0800 00', /no zstd frame starts with 0x88b1f/],
    ['a reserved bit', '28b52ffd 28 07', /reserved bit/],
    ['a dictionary', '28b52ffd 23 01000000 07', /needs a dictionary/],
    ['a window above the limit', '28b52ffd 00 89', /needs a window of 150994944 bytes/],
    ['a window of terabytes', '28b52ffd 00 ff', /needs a window of 4123168604160 bytes/],
    ['a single segment above the limit', '28b52ffd a0 01000008', /needs a window of 134217729 bytes/],
    ['a size that no number holds', '28b52ffd c0 58 0000000000002000', /claims 9007199254740992 bytes/],
  ])('refuses %s', (_name, header, message) => {
    expect(() => readFrameHeader(hex(header))).toThrow(expect.objectContaining({ code: 'SLUICE_ZSTD_INVALID' }));
    expect(() => readFrameHeader(hex(header))).toThrow(message);
  });

  it('gives a value or a SluiceError for any bytes', () => {
    const start = fc.constantFrom(
      Buffer.from([0x28, 0xb5, 0x2f, 0xfd]),
      Buffer.from([0x50, 0x2a, 0x4d, 0x18]),
      Buffer.alloc(0),
    );
    fc.assert(
      fc.property(start, fc.uint8Array({ maxLength: 20 }), (magic, rest) => {
        try {
          readFrameHeader(Buffer.concat([magic, rest]));
        } catch (error) {
          expect(error).toBeInstanceOf(SluiceError);
        }
      }),
    );
  });

  it.skipIf(!hasZstd)('reads what the zstd command writes', () => {
    const input = noise(100_000);
    expect(readFrameHeader(zstd(input, '--no-check', '--stream-size=100000'))).toMatchObject({ contentSize: 100_000 });
    expect(readFrameHeader(zstd(input))).toMatchObject({ kind: 'data', hasChecksum: true });
    expect(readFrameHeader(zstd(input, '--ultra', '-22', '--long=27'))).toMatchObject({ windowSize: 2 ** 27 });
  });
});

describe('readBlockHeader()', () => {
  it.each([
    ['a raw block', '500000', { last: false, storedLength: 10 }],
    ['the last RLE block', '030010', { last: true, storedLength: 1 }],
    ['a compressed block', '0c0000', { last: false, storedLength: 1 }],
  ])('reads %s', (_name, header, expected) => {
    expect(readBlockHeader(hex(header), 0)).toEqual(expected);
    expect(readBlockHeader(hex(`ff${header}`), 1)).toEqual(expected);
  });

  it.each([
    ['the reserved type', '060000'],
    ['more than 128 KiB', '080010'],
  ])('refuses %s', (_name, header) => {
    expect(() => readBlockHeader(hex(header), 0)).toThrow(expect.objectContaining({ code: 'SLUICE_ZSTD_INVALID' }));
  });
});

describe.skipIf(!hasZstd)('frames without an encoder', () => {
  const lengths = [0, 1, 255, 256, 65_791, 65_792, 131_072, 131_073, 1_000_000];

  it.each(lengths)('rawFrame() of %i bytes is what `zstd -d` reads', (length) => {
    const bytes = noise(length);
    const frame = rawFrame(bytes);
    expect(frame.length).toBe(rawFrameLength(length));
    expect(readFrameHeader(frame)).toMatchObject({ contentSize: length });
    expect(zstd(frame, '-d').equals(bytes)).toBe(true);
  });

  it.each(lengths)('rleFrame() of %i bytes is what `zstd -d` reads', (length) => {
    const frame = rleFrame(0xa5, length);
    expect(frame.length).toBeLessThan(50);
    expect(zstd(frame, '-d').equals(Buffer.alloc(length, 0xa5))).toBe(true);
  });

  it.each([0, 1, 100_000])('skippableFrame() of %i bytes is passed over by `zstd -d`', (length) => {
    const payload = noise(length);
    const frame = skippableFrame(payload);
    expect(readFrameHeader(frame)).toEqual({ kind: 'skippable', headerLength: 8, payloadLength: length });
    expect(Buffer.compare(frame.subarray(8), payload)).toBe(0);
    const before = rawFrame(Buffer.from('content '));
    const behind = rawFrame(Buffer.from('goes on'));
    expect(zstd(Buffer.concat([before, frame, behind]), '-d').toString()).toBe('content goes on');
  });
});
