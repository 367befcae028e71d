import { setImmediate } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { BlobChain } from '../../src/convert/blob-chain.ts';
import { OrderedTurns } from '../../src/convert/ordered-turns.ts';
import { digestFromBytes } from '../../src/oci/digest.ts';

const failure = new Error('a layer failed');
const digest = (value: number) => digestFromBytes(new Uint8Array(32).fill(value));

describe('OrderedTurns', () => {
  it('runs turns in order of number, one at a time', async () => {
    const turns = new OrderedTurns(4);
    const events: string[] = [];
    const task = (number: number) =>
      turns.take(number, async () => {
        events.push(`${number} begins`);
        await setImmediate();
        events.push(`${number} ends`);
        return number;
      });
    expect(await Promise.all([3, 1, 0, 2].map(task))).toEqual([3, 1, 0, 2]);
    expect(events).toEqual([0, 1, 2, 3].flatMap((number) => [`${number} begins`, `${number} ends`]));
  });

  it.each([
    ['fails in its turn', (turns: OrderedTurns) => turns.take(1, () => Promise.reject(failure))],
    ['will not take its turn', async (turns: OrderedTurns) => turns.fail(1, failure)],
  ])('ends the wait of all who come after one that %s', async (_, fail) => {
    const turns = new OrderedTurns(4);
    let ran = 0;
    const count = async (): Promise<number> => ++ran;
    const waiting = Promise.allSettled([3, 2].map((number) => turns.take(number, count)));
    const failed = fail(turns).catch(() => undefined);
    await turns.take(0, count);
    await failed;
    expect(await waiting).toEqual([
      { status: 'rejected', reason: failure },
      { status: 'rejected', reason: failure },
    ]);
    expect(ran).toBe(1);
  });
});

describe('BlobChain', () => {
  it('gives the digests below a layer once all are known', async () => {
    const chain = new BlobChain(3);
    const below = chain.below(2);
    chain.announce(1, digest(1));
    chain.announce(0, digest(0));
    expect(await below).toEqual([digest(0), digest(1)]);
    expect(await chain.below(0)).toEqual([]);
  });

  it('ends the wait when a layer below fails, and nobody has to wait', async () => {
    const chain = new BlobChain(3);
    const below = chain.below(2);
    chain.fail(0, failure);
    await expect(below).rejects.toBe(failure);
    await expect(chain.below(1)).rejects.toBe(failure);
    new BlobChain(1).fail(0, failure);
    await setImmediate();
  });
});
