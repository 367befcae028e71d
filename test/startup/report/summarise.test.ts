import { describe, expect, it } from 'vitest';
import { formatTable } from '../../../src/startup/report/format-table.ts';
import { summarise } from '../../../src/startup/report/summarise.ts';
import { axisTicks } from '../../../src/startup/report/units.ts';
import { sampleResult } from './sample-result.ts';

describe('summarise()', () => {
  it('gives median, least and greatest of each lane, in the order of the lanes', () => {
    const [group] = summarise(sampleResult());
    expect(group?.cells.map(({ lane, ready }) => [lane, ready.median, ready.least, ready.greatest])).toEqual([
      ['sluice-lazy', 1580, 1500, 1660],
      ['sluice-traced', 980, 900, 1060],
      ['estargz', 1980, 1900, 2060],
      ['containerd', 6980, 6900, 7060],
      ['floor', 680, 600, 760],
    ]);
    expect(group?.cells[0]?.typical.readyMs).toBe(1580);
  });

  it('counts a failed start in nothing but the list of failures', () => {
    const result = sampleResult();
    const [slow, ...others] = result.samples;
    if (slow === undefined) throw new Error('there are samples');
    const broken = { ...slow, readyMs: 1, error: 'it fell back to a full pull' };
    const [group] = summarise({ ...result, samples: [broken, ...others] });
    expect(group?.cells[0]?.ready.least).toBe(1540);
    expect(group?.cells[0]?.count).toBe(4);
    expect(group?.failures).toEqual([broken]);
  });

  it('takes the mean of the middle two when samples are even', () => {
    const result = sampleResult();
    const two = result.samples.filter(({ lane }) => lane === 'floor').slice(0, 2);
    const [group] = summarise({ ...result, samples: two });
    expect(group?.cells.map(({ lane, ready }) => [lane, ready.median])).toEqual([['floor', 620]]);
  });
});

describe('formatTable()', () => {
  it('aligns names to the left and numbers to the right, and says what was skipped', () => {
    expect(formatTable(sampleResult())).toMatchInlineSnapshot(`
      "python, link 100mbit-20ms, medians of 5
        lane           ready s  least–greatest  pull  mount  first exec    MB  requests  of image  CPU s
        sluice-lazy       1.58       1.50–1.66     –      –        1.26   9.0         7    15.3 %   0.30
        sluice-traced     0.98       0.90–1.06     –      –        0.78   5.0         7     8.5 %   0.30
        estargz           1.98       1.90–2.06     –      –        1.58   9.5         7    16.1 %   0.30
        containerd        6.98       6.90–7.06     –      –        5.58  58.9         7   100.0 %   0.30
        floor             0.68       0.60–0.76     –      –        0.54   4.3         7     7.3 %   0.30

      skipped nydus: nydusd is not installed
      "
    `);
  });

  it('says which lane failed, and why', () => {
    const result = sampleResult();
    const failed = result.samples.map((sample) => ({ ...sample, error: 'the container ended with status 1' }));
    expect(formatTable({ ...result, samples: failed.slice(0, 1), skipped: [] })).toContain(
      'failed: sluice-lazy: the container ended with status 1',
    );
  });
});

describe('axisTicks()', () => {
  it.each([
    [6.9, [0, 2, 4, 6, 8]],
    [1, [0, 0.2, 0.4, 0.6, 0.8, 1]],
    [0.07, [0, 0.02, 0.04, 0.06, 0.08]],
    [58.9, [0, 10, 20, 30, 40, 50, 60]],
    [0, [0, 1]],
    [Number.NEGATIVE_INFINITY, [0, 1]],
  ])('covers %d in round steps', (greatest, ticks) => {
    expect(axisTicks(greatest)).toEqual(ticks);
  });
});
