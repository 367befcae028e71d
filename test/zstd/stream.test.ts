import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SluiceError } from '../../src/errors.ts';
import { compress, loadZstd } from '../../src/zstd/codec.ts';
import { rawFrame, rleFrame, skippableFrame } from '../../src/zstd/frame.ts';
import { decompressStream, decompressStreamNative, decompressStreamPortable } from '../../src/zstd/stream.ts';
import { has } from '../support/tools.ts';
import { collect, inPieces, noise, prose } from './samples.ts';

const hasZstd = has('zstd');
const zstd = (input: Uint8Array, ...options: string[]) =>
  execFileSync('zstd', ['-q', '-c', ...options], { input, maxBuffer: 2 ** 28 });

// Before the tables below are built.
await loadZstd();

/** A frame with compressed blocks. */
const compressed = (bytes: Uint8Array) => compress(bytes, 5);

const backends = [
  ['portable', decompressStreamPortable],
  ...(decompressStreamNative === undefined ? [] : [['native', decompressStreamNative] as const]),
] as const;

describe('decompressStream()', () => {
  it('is one of the two', async () => {
    expect((await collect(decompressStream(inPieces(rawFrame(prose(1000)), 100)))).equals(prose(1000))).toBe(true);
  });
});

describe.each(backends)('decompressStream(), %s', (_backend, decode) => {
  const failure = (bytes: Uint8Array, length = 65_536): Promise<unknown> =>
    collect(decode(inPieces(bytes, length))).then(
      () => 'no error',
      (error: unknown) => error,
    );

  it
    .skipIf(!hasZstd)
    .each([
      ['-1'],
      ['-19'],
      ['--ultra', '-22'],
      ['--fast=3'],
      ['--no-check'],
      ['--long=27'],
      ['--format=zstd', '-T2', '-3'],
    ])('reads what `zstd` writes with %s %s %s', async (...options) => {
    const bytes = Buffer.concat([prose(700_000), new Uint8Array(1_000_000), noise(300_000)]);
    const frame = zstd(bytes, ...options);
    for (const length of [997, 65_536, frame.length]) {
      expect((await collect(decode(inPieces(frame, length)))).equals(bytes)).toBe(true);
    }
  });

  const several = Buffer.concat([
    skippableFrame(noise(10)),
    rawFrame(new Uint8Array(0)),
    compressed(prose(700)),
    rleFrame(65, 300_000),
    skippableFrame(new Uint8Array(0)),
    rawFrame(noise(300)),
    skippableFrame(noise(300)),
  ]);
  const unfolded = Buffer.concat([prose(700), Buffer.alloc(300_000, 65), noise(300)]);

  it('passes over skippable frames and goes on behind the end of a frame, wherever the chunks are cut', async () => {
    for (let length = 1; length <= several.length; length += length < 40 ? 1 : 97) {
      const content = await collect(decode(inPieces(several, length)));
      expect(content.equals(unfolded), `chunks of ${length}`).toBe(true);
    }
    expect((await collect(decode(inPieces(several, several.length)))).equals(unfolded)).toBe(true);
  });

  it('takes any cut into chunks, empty ones too', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(several.length), { maxLength: 8 }), async (cuts) => {
        const borders = [0, ...cuts.sort((a, b) => a - b), several.length];
        async function* chunks(): AsyncGenerator<Uint8Array> {
          for (let i = 1; i < borders.length; i++) yield several.subarray(borders[i - 1], borders[i]);
        }
        expect((await collect(decode(chunks()))).equals(unfolded)).toBe(true);
      }),
      { numRuns: 30 },
    );
  });

  it('refuses a stream cut off anywhere but between frames', async () => {
    const first = compressed(prose(400));
    const frames = Buffer.concat([first, skippableFrame(noise(5)), compressed(prose(300))]);
    const ends = [first.length, first.length + 13];
    const lengths = [...Array(20).keys(), ...Array.from({ length: 20 }, (_, i) => first.length - 3 + i)];
    for (let length = 21; length < frames.length; length += 29) lengths.push(length);
    for (const length of lengths) {
      const result = await failure(frames.subarray(0, length), 1000);
      if (ends.includes(length)) expect(result).toBe('no error');
      else expect(result, `${length} bytes`).toMatchObject({ code: 'SLUICE_ZSTD_INVALID' });
    }
  });

  it.each([
    ['nothing', new Uint8Array(0)],
    ['text', Buffer.from('not a frame at all')],
    ['text behind a frame', Buffer.concat([rawFrame(noise(10)), Buffer.from('trailing')])],
    ['a window of 4 TiB', Buffer.concat([Buffer.from('28b52ffd00ff', 'hex'), rawFrame(noise(10)).subarray(6)])],
    [
      'a frame that lies about its length',
      Buffer.concat([Buffer.from('28b52ffd200b', 'hex'), rawFrame(noise(10)).subarray(6)]),
    ],
    ['a damaged block', Buffer.concat([compressed(prose(700)).subarray(0, 20), noise(400)])],
  ])('refuses %s', async (_name, bytes) => {
    expect(await failure(bytes)).toMatchObject({ code: 'SLUICE_ZSTD_INVALID' });
    expect(await failure(bytes, 1)).toMatchObject({ code: 'SLUICE_ZSTD_INVALID' });
  });

  it.skipIf(!hasZstd)('refuses a wrong checksum', async () => {
    const frame = zstd(prose(200_000), '--check');
    frame[frame.length - 2]! ^= 1;
    expect(await failure(frame)).toMatchObject({ code: 'SLUICE_ZSTD_INVALID' });
  });

  it('passes on an error of its source as it is', async () => {
    const lost = new Error('connection lost');
    async function* failing(): AsyncGenerator<Uint8Array> {
      yield several.subarray(0, 100);
      throw lost;
    }
    await expect(collect(decode(failing()))).rejects.toBe(lost);
  });

  it('closes its source when the consumer stops', async () => {
    let closed = false;
    async function* source(): AsyncGenerator<Uint8Array> {
      try {
        for (;;) yield rleFrame(1, 1 << 20);
      } finally {
        closed = true;
      }
    }
    for await (const bytes of decode(source())) if (bytes.length > 0) break;
    await expect.poll(() => closed).toBe(true);
  });

  it('unfolds 512 MiB from one chunk of 16 KiB, in pieces, without holding it', async () => {
    const bomb = rleFrame(0, 128 << 20);
    const chunk = Buffer.concat(Array.from({ length: 4 }, () => bomb));
    expect(chunk.length).toBeLessThan(20 << 10);
    let size = 0;
    let largest = 0;
    const before = process.memoryUsage().rss;
    let peak = before;
    for await (const bytes of decode(inPieces(chunk, chunk.length))) {
      size += bytes.length;
      largest = Math.max(largest, bytes.length);
      if (size % (64 << 20) < bytes.length) peak = Math.max(peak, process.memoryUsage().rss);
    }
    expect(size).toBe(2 ** 29);
    expect(largest).toBeLessThanOrEqual(128 << 10);
    expect(peak - before).toBeLessThan(400 << 20);
  });

  it('gives a value or a SluiceError for streams with flipped bits', async () => {
    const frames = Buffer.concat([compressed(prose(2000)), skippableFrame(noise(5)), rleFrame(1, 1000)]);
    await fc.assert(
      fc.asyncProperty(fc.nat(frames.length * 8 - 1), fc.integer({ min: 1, max: 300 }), async (bit, length) => {
        const bad = Buffer.from(frames);
        bad[bit >> 3]! ^= 1 << (bit & 7);
        const result = await failure(bad, length);
        expect(result === 'no error' || result instanceof SluiceError).toBe(true);
      }),
      { numRuns: 100 },
    );
  });
});
