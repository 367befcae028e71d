import { describe, expect, it } from 'vitest';
import { Link } from '../../src/fetch/link.ts';

describe('Link.room()', () => {
  it('lets background have half its window at a time, and twice at once', () => {
    const link = new Link('memory:a', () => 0);
    const half = link.room('background');
    expect(half).toBe(128 * 1024);
    link.begin(half, 'background');
    expect(link.room('background')).toBe(half);
    link.begin(half, 'background').end();
    link.begin(half, 'background');
    expect(link.room('background')).toBe(0);
  });

  it('has background yield to demand, for a second at most', () => {
    let time = 0;
    const link = new Link('memory:a', () => time);
    link.begin(1000, 'background').end();
    const demand = link.begin(1000, 'demand');
    expect(link.room('background')).toBe(0);
    expect(link.room('demand')).toBeGreaterThan(0);
    time = 1001;
    expect(link.room('background')).toBeGreaterThan(0);
    link.begin(1000, 'background').end();
    expect(link.room('background')).toBe(0);
    demand.end();
    expect(link.room('background')).toBeGreaterThan(0);
  });
});
