import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { RepeatLimit } from '../../src/log/repeat-limit.ts';

describe('RepeatLimit', () => {
  let leftOut: (readonly [string, number])[];
  let limit: RepeatLimit;
  beforeEach(() => {
    vi.useFakeTimers();
    leftOut = [];
    limit = new RepeatLimit(3, (...what) => leftOut.push(what));
  });
  afterEach(() => vi.useRealTimers());
  const admitted = (event: string, times: number): number =>
    Array.from({ length: times }, () => limit.admits(event)).filter(Boolean).length;

  it('admits so many of an event a minute, and each event its own', () => {
    expect([admitted('a', 100), admitted('b', 2), admitted('a', 5)]).toEqual([3, 2, 0]);
    expect(leftOut).toEqual([]);
    vi.advanceTimersByTime(60_000);
    expect(leftOut).toEqual([['a', 102]]);
    expect(admitted('a', 100)).toBe(3);
  });

  it('has no timer while nothing happens', () => {
    admitted('a', 5);
    vi.advanceTimersByTime(60_000);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('says what it left out when it ends early', () => {
    admitted('a', 5);
    limit.flush();
    limit.flush();
    expect(leftOut).toEqual([['a', 2]]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('treats events as one when there are too many of them', () => {
    const count = Array.from({ length: 5000 }, (_, i) => limit.admits(`event ${i}`)).filter(Boolean).length;
    expect(count).toBe(1003);
    limit.flush();
    expect(leftOut).toEqual([['other', 3997]]);
  });
});
