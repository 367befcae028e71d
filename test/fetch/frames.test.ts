import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { frames } from '../../src/fetch/frames.ts';

const START = 1000;

async function* pieces(bytes: Uint8Array, sizes: readonly number[]): AsyncGenerator<Uint8Array> {
  for (let offset = 0, i = 0; offset < bytes.length; i++) {
    const size = sizes[i % sizes.length] ?? 1;
    yield bytes.subarray(offset, offset + size);
    offset += size;
  }
}

describe('frames()', () => {
  it('cuts the same frames however the stream is cut', () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ gap: fc.nat(20), length: fc.integer({ min: 1, max: 50 }) }), { maxLength: 12 }),
        fc.array(fc.nat(60), { minLength: 1, maxLength: 5 }).filter((sizes) => sizes.some((size) => size > 0)),
        fc.nat(30),
        async (layout, sizes, surplus) => {
          let end = START;
          const places = layout.map(({ gap, length }) => {
            const offset = end + gap;
            end = offset + length;
            return { offset, length };
          });
          const bytes = Uint8Array.from({ length: end - START + surplus }, (_, i) => i % 251);
          const found: Uint8Array[] = [];
          for await (const frame of frames(pieces(bytes, sizes), START, places)) found.push(frame.slice());
          expect(found).toEqual(
            places.map(({ offset, length }) => bytes.slice(offset - START, offset - START + length)),
          );
        },
      ),
    ));

  it('ends early where the stream does', async () => {
    const found: number[] = [];
    const places = [
      { offset: START, length: 10 },
      { offset: START + 10, length: 10 },
    ];
    for await (const frame of frames(pieces(new Uint8Array(19), [7]), START, places)) found.push(frame.length);
    expect(found).toEqual([10]);
  });

  it('stops reading after the last frame', async () => {
    let read = 0;
    async function* endless(): AsyncGenerator<Uint8Array> {
      for (;;) {
        read++;
        yield new Uint8Array(10);
      }
    }
    for await (const frame of frames(endless(), START, [{ offset: START, length: 25 }])) expect(frame.length).toBe(25);
    expect(read).toBe(3);
  });
});
