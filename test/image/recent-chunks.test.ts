import { describe, expect, it } from 'vitest';
import { RecentChunks } from '../../src/image/recent-chunks.ts';

/** A store that answers when it is told to, and counts what it is asked. */
function manual() {
  const waiting: (() => void)[] = [];
  let asked = 0;
  const read = (): Promise<Uint8Array> => {
    asked++;
    return new Promise((resolve) => waiting.push(() => resolve(new Uint8Array(100))));
  };
  return { read, asked: () => asked, answer: () => waiting.splice(0).forEach((answer) => void answer()) };
}

describe('RecentChunks', () => {
  it('reads a chunk once, and again when it was crowded out', async () => {
    const below = manual();
    const recent = new RecentChunks(below, 250);
    const read = async (chunk: number): Promise<number> => {
      const reading = recent.read(0, chunk);
      below.answer();
      await reading;
      return below.asked();
    };
    expect([await read(0), await read(1), await read(0)]).toEqual([1, 2, 2]);
    expect([await read(2), await read(0), await read(1)]).toEqual([3, 3, 4]);
  });

  it('clear() lets go of what is there and of what is on its way, and keeps what comes after', async () => {
    const below = manual();
    const recent = new RecentChunks(below, 250);
    const first = recent.read(0, 0);
    below.answer();
    await first;
    const underWay = recent.read(0, 1);
    recent.clear();
    below.answer();
    await underWay;
    for (const chunk of [0, 1]) void recent.read(0, chunk);
    expect(below.asked()).toBe(4);
    below.answer();
    await Promise.all([recent.read(0, 0), recent.read(0, 1)]);
    expect(below.asked()).toBe(4);
  });
});
