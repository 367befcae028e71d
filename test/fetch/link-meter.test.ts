import { describe, expect, it } from 'vitest';
import { LinkMeter } from '../../src/fetch/link-meter.ts';

const KIB = 1024;

/** A link of so many bytes a millisecond. */
function measured(rate: number, waitMs: number, count = 20): LinkMeter {
  const meter = new LinkMeter();
  for (let i = 0; i < count; i++) meter.add({ waitMs: waitMs * (1 + (i % 5)), bodyBytes: 1e6, bodyMs: 1e6 / rate });
  return meter;
}

describe('LinkMeter', () => {
  it.each([
    ['nothing known', new LinkMeter(), 64 * KIB, 256 * KIB],
    ['100 Mbit/s, 20 ms', measured(12_500, 20), 62_500, 250_000 + 64 * KIB],
    ['1 Gbit/s, 40 ms', measured(125_000, 40), 256 * KIB, 4096 * KIB],
    ['loopback', measured(500_000, 0.3), 37_500, 150_000 + 64 * KIB],
    ['1 Mbit/s, 100 ms', measured(125, 100), 16 * KIB, 128 * KIB],
  ])('gives what follows from %s', (_, meter, bridge, window) => {
    expect(meter.bridge).toBe(bridge);
    expect(meter.window).toBe(window);
  });

  it('is not moved by requests out of line, or too short to tell, and follows a link that changes', () => {
    const meter = measured(12_500, 20);
    meter.add({ waitMs: 5_000, bodyBytes: 1e6, bodyMs: 0.5 });
    meter.add({ waitMs: 5_000, bodyBytes: 10, bodyMs: 1 });
    meter.add({ waitMs: 5_000, bodyBytes: 1e6, bodyMs: 1e5 });
    expect(meter.bridge).toBe(62_500);
    for (let i = 0; i < 40; i++) meter.add({ waitMs: 40, bodyBytes: 1e6, bodyMs: 80 });
    expect(meter.bridge).toBe(125_000);
  });
});
