import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { layOutRuns, pageCeil } from '../../src/convert/spool.ts';

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
          position += pageCeil(extent.length);
        }
      }),
    );
  });
});
