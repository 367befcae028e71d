import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { SluiceError } from '../../src/errors.ts';
import {
  compress,
  decompress,
  decompressNative,
  decompressPortable,
  loadZstd,
  maximumContentSize,
} from '../../src/zstd/codec.ts';
import { rawFrame, rawFrameLength, readFrameHeader, rleFrame, skippableFrame } from '../../src/zstd/frame.ts';
import { has } from '../support/tools.ts';
import { noise, prose } from './samples.ts';

const hasZstd = has('zstd');
const zstd = (input: Uint8Array, ...options: string[]) =>
  execFileSync('zstd', ['-q', '-c', ...options], { input, maxBuffer: 2 ** 28 });

const inputs: readonly (readonly [string, Uint8Array])[] = [
  ['nothing', new Uint8Array(0)],
  ['one byte', Uint8Array.of(7)],
  ['a sentence', Buffer.from('It was the best of times, it was the worst of times, it was the age of wisdom')],
  ['zeros', new Uint8Array(300_000)],
  ['zeros, then a one', Buffer.concat([new Uint8Array(131_072), Uint8Array.of(1)])],
  ['noise', noise(140_000)],
  ['prose', prose(131_072)],
  ['much prose', prose(1_048_576)],
];

beforeAll(async () => {
  await expect(async () => decompressPortable(rawFrame(new Uint8Array(0)), 0)).rejects.toThrow('loadZstd()');
  expect(() => compress(prose(1000), 3)).toThrow('loadZstd()');
  await loadZstd();
  await loadZstd();
});

describe('compress()', () => {
  const digest = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex').slice(0, 16);

  it('gives the bytes it always gave, on every machine and Node', () => {
    const frames = inputs.flatMap(([name, bytes]) =>
      [1, 3, 5, 9, 15, 19].map((level) => {
        const frame = compress(bytes, level);
        return `${name}, level ${level}: ${frame.length} ${digest(frame)}`;
      }),
    );
    expect(frames.join('\n')).toMatchSnapshot();
  });

  it('does not depend on what was compressed before', () => {
    const first = compress(prose(50_000), 9);
    for (const [, bytes] of inputs) compress(bytes, 1);
    expect(Buffer.compare(compress(prose(50_000), 9), first)).toBe(0);
  });

  it.skipIf(!hasZstd).each(inputs)('of %s is what `zstd -d` reads', (_name, bytes) => {
    for (const level of [1, 19]) expect(zstd(compress(bytes, level), '-d').equals(bytes)).toBe(true);
  });

  it('always says the content size, and has no checksum', () => {
    for (const [, bytes] of inputs) {
      expect(readFrameHeader(compress(bytes, 3))).toMatchObject({ contentSize: bytes.length, hasChecksum: false });
    }
  });

  it('stores what is one byte throughout in a few bytes, and noise as it is', () => {
    expect(compress(new Uint8Array(1 << 20), 3)).toHaveLength(9 + 8 * 4);
    expect(Buffer.compare(compress(noise(140_000), 19), rawFrame(noise(140_000)))).toBe(0);
  });

  it('never gives more than the raw frame', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 3000 }), fc.integer({ min: 1, max: 19 }), (bytes, level) => {
        const frame = compress(bytes, level);
        expect(frame.length).toBeLessThanOrEqual(rawFrameLength(bytes.length));
        expect(Buffer.compare(decompress(frame, bytes.length), bytes)).toBe(0);
      }),
    );
  });

  it('has heap enough for every level at 1 MiB, and for 24 MiB', () => {
    const bytes = prose(24 << 20);
    for (let level = 1; level <= 19; level += 3) {
      const chunk = bytes.subarray(0, 1 << 20);
      expect(Buffer.compare(decompressPortable(compress(chunk, level), chunk.length), chunk)).toBe(0);
    }
    expect(Buffer.compare(decompressPortable(compress(bytes, 1), bytes.length), bytes)).toBe(0);
  });

  it.each([0, 20, -1, 1.5, Number.NaN])('refuses level %d', (level) => {
    expect(() => compress(noise(10), level)).toThrow(RangeError);
  });

  it('reads shared memory', () => {
    const shared = new Uint8Array(new SharedArrayBuffer(5000));
    shared.set(prose(5000));
    expect(Buffer.compare(compress(shared, 3), compress(prose(5000), 3))).toBe(0);
  });
});

const backends = [
  ['portable', decompressPortable],
  ...(decompressNative === undefined ? [] : [['native', decompressNative] as const]),
] as const;

describe.each(backends)('decompress(), %s', (_backend, decode) => {
  const bytes = prose(131_072);
  const code = (expected: string) => expect.objectContaining({ code: expected });

  it.each(inputs)('gives %s back', (_name, input) => {
    for (const level of [1, 9]) expect(Buffer.compare(decode(compress(input, level), input.length), input)).toBe(0);
    expect(Buffer.compare(decode(rawFrame(input), input.length), input)).toBe(0);
    expect(Buffer.compare(decode(rleFrame(9, input.length), input.length), Buffer.alloc(input.length, 9))).toBe(0);
  });

  it.skipIf(!hasZstd)('reads the frames of the zstd command, with and without checksum', () => {
    for (const check of ['--check', '--no-check']) {
      for (const level of ['-1', '-19', '--fast=5']) {
        expect(
          Buffer.compare(decode(zstd(bytes, check, level, `--stream-size=${bytes.length}`), bytes.length), bytes),
        ).toBe(0);
      }
    }
  });

  it.skipIf(!hasZstd)('refuses a wrong checksum', () => {
    const frame = zstd(bytes, '--check', `--stream-size=${bytes.length}`);
    frame[frame.length - 1]! ^= 1;
    expect(() => decode(frame, bytes.length)).toThrow(code('SLUICE_ZSTD_INVALID'));
  });

  it('gives a buffer that later calls do not change', () => {
    const first = decode(compress(bytes, 3), bytes.length);
    for (let i = 0; i < 20; i++) decode(compress(noise(131_072, i + 1), 1), 131_072);
    expect(Buffer.compare(first, bytes)).toBe(0);
  });

  it.each([
    ['one more', 131_073],
    ['one less', 131_071],
    ['none', 0],
    ['more than fits anywhere', maximumContentSize + 1],
    ['infinite', Number.POSITIVE_INFINITY],
    ['no number', Number.NaN],
  ])('refuses a length that is not the one of the frame: %s', (_name, length) => {
    expect(() => decode(compress(bytes, 3), length)).toThrow(code('SLUICE_ZSTD_LENGTH'));
  });

  it('refuses a frame that lies about its length', () => {
    const frame = Buffer.from(compress(prose(1000), 3));
    frame.writeUInt16LE(1001 - 256, 5);
    expect(() => decode(frame, 1001)).toThrow(code('SLUICE_ZSTD_INVALID'));
    frame.writeUInt16LE(999 - 256, 5);
    expect(() => decode(frame, 999)).toThrow(code('SLUICE_ZSTD_INVALID'));
    const bomb = Buffer.from(rleFrame(0, 100 << 20));
    bomb.writeUInt32LE(1000, 5);
    expect(() => decode(bomb, 1000)).toThrow(code('SLUICE_ZSTD_INVALID'));
  });

  it.skipIf(!hasZstd)('refuses a frame without content size', () => {
    const pipe = zstd(bytes);
    expect(readFrameHeader(pipe)).toMatchObject({ contentSize: undefined });
    expect(() => decode(pipe, bytes.length)).toThrow(code('SLUICE_ZSTD_LENGTH'));
  });

  it.each([
    ['nothing', new Uint8Array(0)],
    ['a byte behind the frame', Buffer.concat([rawFrame(Buffer.from('abc')), Buffer.alloc(1)])],
    ['two frames', Buffer.concat([rawFrame(Buffer.from('abc')), rawFrame(new Uint8Array(0))])],
    ['a skippable frame', skippableFrame(Buffer.from('abc'))],
    ['a skippable frame first', Buffer.concat([skippableFrame(Buffer.from('abc')), rawFrame(Buffer.from('abc'))])],
    ['something else', Buffer.from('abc, and nothing but abc')],
  ])('refuses %s', (_name, frame) => {
    expect(() => decode(frame, 3)).toThrow(code('SLUICE_ZSTD_INVALID'));
  });

  it('refuses a frame cut off anywhere', () => {
    const frame = compress(prose(400), 19);
    for (let length = 0; length < frame.length; length++) {
      expect(() => decode(frame.subarray(0, length), 400), `${length}`).toThrow(SluiceError);
    }
  });

  it('gives bytes of the right length or a SluiceError for frames with flipped bits, and works on', () => {
    const frame = compress(prose(3000), 9);
    fc.assert(
      fc.property(fc.array(fc.nat(frame.length * 8 - 1), { minLength: 1, maxLength: 4 }), (bits) => {
        const bad = Buffer.from(frame);
        for (const bit of bits) bad[bit >> 3]! ^= 1 << (bit & 7);
        try {
          expect(decode(bad, 3000)).toHaveLength(3000);
        } catch (error) {
          expect(error).toBeInstanceOf(SluiceError);
        }
      }),
      { numRuns: 1000 },
    );
    expect(Buffer.compare(decode(frame, 3000), prose(3000))).toBe(0);
  });

  it('gives a value or a SluiceError for random blocks behind a good header', () => {
    const header = rleFrame(0, 5000).subarray(0, 7);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (blocks) => {
        const size = Buffer.alloc(3);
        size.writeUIntLE((blocks.length << 3) | (2 << 1) | 1, 0, 3);
        try {
          expect(decode(Buffer.concat([header, size, blocks]), 5000)).toHaveLength(5000);
        } catch (error) {
          expect(error).toBeInstanceOf(SluiceError);
        }
      }),
      { numRuns: 1000 },
    );
  });

  it('does not grow', () => {
    const frame = compress(bytes, 1);
    const bad = Buffer.from(frame);
    bad.fill(0xff, 12, 40);
    const work = (times: number) => {
      for (let i = 0; i < times; i++) {
        decode(frame, bytes.length);
        compress(bytes.subarray(0, 2000), 3);
        expect(() => decode(bad, bytes.length)).toThrow(SluiceError);
      }
    };
    work(200);
    const before = process.memoryUsage().rss;
    work(1000);
    expect(process.memoryUsage().rss - before).toBeLessThan(64 << 20);
  });
});
