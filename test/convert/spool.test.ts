import path from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { paddedSize } from '../../src/chunk/parameters.ts';
import { layOutRuns, SpoolReader, SpoolWriter } from '../../src/convert/spool.ts';
import { content } from '../support/content.ts';
import { withTemporaryDirectory } from '../support/temporary.ts';

describe('layOutRuns()', () => {
  it.each([
    {
      runs: [{ offset: 0, length: 5000 }],
      size: 5000,
      extents: [[0, 5000, 0]],
      why: 'a file without holes is one run',
    },
    { runs: [], size: 1 << 30, extents: [], why: 'a hole takes nothing' },
    { runs: [{ offset: 5000, length: 10 }], size: 20000, extents: [[4096, 4096, 0]], why: 'a run takes its page' },
    {
      runs: [
        { offset: 100, length: 10 },
        { offset: 4096, length: 10 },
      ],
      size: 9000,
      extents: [[0, 8192, 0]],
      why: 'runs on touching pages are one',
    },
    {
      runs: [{ offset: 2 ** 39 + 5, length: 1 }],
      size: 500e9 * 2,
      extents: [[2 ** 39, 16 << 20, 0]],
      why: 'a page in a huge hole is widened',
    },
  ])('$why', ({ runs, size, extents }) => {
    expect(layOutRuns(runs, size, 0).map((e) => [e.offset, e.length, e.deviceOffset])).toEqual(extents);
  });

  it('covers every byte of every run, in at most 8192 pieces of the file', () => {
    const run = fc.record({ gap: fc.nat(2 ** 33), length: fc.nat(2 ** 20) });
    fc.assert(
      fc.property(fc.array(run, { maxLength: 20 }), fc.nat(2 ** 30), (gaps, tail) => {
        let end = 0;
        const runs = gaps.map(({ gap, length }) => {
          const offset = end + gap;
          end = offset + length;
          return { offset, length };
        });
        const extents = layOutRuns(runs, end + tail, 4096);
        for (const { offset, length } of runs.filter(({ length }) => length > 0)) {
          expect(extents.some((e) => e.offset <= offset && offset + length <= e.offset + e.length)).toBe(true);
        }
        let position = 4096;
        for (const extent of extents) {
          expect(extent.deviceOffset).toBe(position);
          position += paddedSize(extent.length);
        }
      }),
    );
  });
});

describe('SpoolWriter and SpoolReader', () => {
  it('give back what was written, in pieces of any size, with zeros between', () =>
    withTemporaryDirectory((directory) => {
      const pieces = fc.array(
        fc.tuple(fc.oneof(fc.nat(5000), fc.integer({ min: 1_000_000, max: 1_100_000 })), fc.nat(9000)),
        {
          maxLength: 6,
        },
      );
      fc.assert(
        fc.property(pieces, (written) => {
          const file = path.join(directory, 'spool');
          const writer = new SpoolWriter(file);
          const expected: Uint8Array[] = [];
          for (const [length, padding] of written) {
            const bytes = content(length, length);
            writer.write(bytes);
            writer.pad(padding);
            expected.push(bytes, Buffer.alloc(padding));
          }
          const whole = Buffer.concat(expected);
          expect(writer.position).toBe(whole.length);
          writer.close();
          const reader = new SpoolReader(file);
          const read = new Uint8Array(whole.length);
          reader.read(0, read);
          expect(whole.equals(read)).toBe(true);
          if (whole.length > 0) expect(() => reader.read(1, read)).toThrow(RangeError);
          reader.close();
        }),
        { numRuns: 30 },
      );
    }));
});
