import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EvictionOrder } from '../../src/cache/eviction-order.ts';

const CHUNKS = 8;
const makeDevice = (id: number) => ({ id, lastUsed: new Uint32Array(new SharedArrayBuffer(4 * CHUNKS)) });

/** The order as a Map keeps it: oldest first. */
class Model {
  readonly #order = new Map<string, true>();
  use(name: string): void {
    this.#order.delete(name);
    this.#order.set(name, true);
  }
  take(): string | undefined {
    const [oldest] = this.#order.keys();
    this.#order.delete(oldest ?? '');
    return oldest;
  }
  remove(device: number): void {
    for (const name of this.#order.keys()) if (name.startsWith(`${device}/`)) this.#order.delete(name);
  }
}

describe('EvictionOrder', () => {
  it('evicts in the order a Map would, when the main thread alone uses chunks', () => {
    const operation = fc.record({
      kind: fc.constantFrom('use', 'use', 'use', 'take', 'remove'),
      device: fc.nat(2),
      chunk: fc.nat(CHUNKS - 1),
    });
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 200 }), (operations) => {
        const order = new EvictionOrder<ReturnType<typeof makeDevice>>(new Uint32Array(1));
        const devices = [makeDevice(0), makeDevice(1), makeDevice(2)];
        for (const device of devices) order.add(device, []);
        const model = new Model();
        const apply = {
          use: (device: number, chunk: number) => {
            order.use(devices[device]!, chunk);
            model.use(`${device}/${chunk}`);
          },
          take: () => {
            const taken = order.take();
            expect(taken && `${taken.device.id}/${taken.chunk}`).toBe(model.take());
          },
          remove: (device: number) => {
            order.remove(devices[device]!);
            order.add(devices[device]!, []);
            model.remove(device);
          },
        };
        for (const { kind, device, chunk } of operations) apply[kind](device, chunk);
      }),
    );
  });

  it('takes what was there before and nobody used first', () => {
    const order = new EvictionOrder<ReturnType<typeof makeDevice>>(new Uint32Array(1));
    const device = makeDevice(0);
    order.add(device, [0, 1, 2, 3]);
    order.use(device, 2);
    order.use(device, 4);
    expect(new Set([order.take()?.chunk, order.take()?.chunk, order.take()?.chunk])).toEqual(new Set([0, 1, 3]));
    expect([order.take()?.chunk, order.take()?.chunk, order.take()]).toEqual([2, 4, undefined]);
  });

  it('gives a chunk that a worker used since a second chance', () => {
    const tick = new Uint32Array(1);
    const order = new EvictionOrder<ReturnType<typeof makeDevice>>(tick);
    const device = makeDevice(0);
    order.add(device, []);
    for (const chunk of [0, 1, 2]) order.use(device, chunk);
    device.lastUsed[0] = tick[0]!;
    expect(Array.from({ length: 4 }, () => order.take()?.chunk)).toEqual([1, 2, 0, undefined]);
  });
});
