import { describe, expect, it } from 'vitest';
import { HotWants } from '../../src/hot/hot-wants.ts';

describe('HotWants', () => {
  it('tells another thread of each file once a thread', () => {
    const wants = new HotWants();
    const worker = new HotWants(wants.buffer);
    for (const nid of [36, 2 ** 40, 36]) worker.add(nid);
    expect([wants.at(0), wants.at(1), wants.at(2)]).toEqual([36, 2 ** 40, undefined]);
    new HotWants(wants.buffer).add(36);
    expect(wants.at(2)).toBe(36);
  });

  it('counts changes, waits for none that has been, and ends', () => {
    const wants = new HotWants();
    const seen = wants.changes;
    wants.changed();
    expect(wants.changes).not.toBe(seen);
    wants.wait(seen);
    expect(wants.isClosed).toBe(false);
    wants.close();
    wants.wait(wants.changes - 1);
    expect(new HotWants(wants.buffer).isClosed).toBe(true);
  });

  it('forgets files when there are too many, and goes on', () => {
    const wants = new HotWants();
    for (let nid = 1; nid <= 9000; nid++) wants.add(nid);
    expect(wants.at(8191)).toBe(8192);
    expect(wants.at(8192)).toBeUndefined();
  });
});
