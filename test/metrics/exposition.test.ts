import { spawnSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Exposition, type Family } from '../../src/metrics/exposition.ts';
import { has } from '../support/tools.ts';
import { parseExposition } from './parse-exposition.ts';

const gauge: Family = { name: 'sluice_things', type: 'gauge', labels: ['a', 'b'], help: 'Things.' };
const histogram: Family = { name: 'sluice_wait_seconds', type: 'histogram', labels: ['a'], help: 'Waits.' };

function textOf(family: Family, ...samples: Parameters<Exposition['add']>[1] extends Iterable<infer S> ? S[] : never) {
  const exposition = new Exposition();
  exposition.add(family, samples);
  return exposition.text();
}

describe('Exposition.add()', () => {
  it('writes a family as the format’s description has it', () => {
    const help = 'A line\nand a \\ backslash';
    expect(textOf({ ...gauge, labels: [], help }, { labels: [], value: 1.5 })).toBe(
      '# HELP sluice_things A line\\nand a \\\\ backslash\n# TYPE sluice_things gauge\nsluice_things 1.5\n',
    );
    expect(textOf(gauge, { labels: ['x\\y', 'say "hi"\n'], value: 3 })).toContain(
      'sluice_things{a="x\\\\y",b="say \\"hi\\"\\n"} 3\n',
    );
  });

  it.each([
    [Number.POSITIVE_INFINITY, '+Inf'],
    [Number.NEGATIVE_INFINITY, '-Inf'],
    [Number.NaN, 'NaN'],
    [0, '0'],
    [2 ** 53 - 1, '9007199254740991'],
    [1e22, '1e+22'],
    [0.000008, '0.000008'],
  ])('writes %d as %s', (value, text) => {
    expect(textOf({ ...gauge, labels: [] }, { labels: [], value })).toContain(`sluice_things ${text}\n`);
  });

  it('leaves out control characters, which end the text for its reader, and what is longer than 1024', () => {
    expect(textOf(gauge, { labels: ['a\0b\r\u001b[2J\u0085', 'x'.repeat(5000)], value: 1 })).toContain(
      `{a="a\ufffdb\ufffd\ufffd[2J\ufffd",b="${'x'.repeat(1024)}"} 1\n`,
    );
  });

  it('writes the first of samples with the same labels, also when only what is left out tells them apart', () => {
    const long = 'x'.repeat(1024);
    const text = textOf(
      gauge,
      { labels: [`${long}1`, ''], value: 1 },
      { labels: [`${long}2`, ''], value: 2 },
      { labels: ['', long], value: 3 },
    );
    expect(
      parseExposition(text)
        .get('sluice_things')
        ?.samples.map(({ value }) => value),
    ).toEqual([1, 3]);
  });

  it('lets any label come out as it was, but for control characters', () => {
    const label = fc.string({ unit: 'binary', maxLength: 40 });
    fc.assert(
      fc.property(label, label, (a, b) => {
        const sample = parseExposition(textOf(gauge, { labels: [a, b], value: 1 })).get('sluice_things')?.samples[0];
        const clean = (text: string): string => text.replace(/(?!\n)\p{Cc}/gu, '\ufffd');
        expect(sample?.labels).toEqual({ a: clean(a), b: clean(b) });
      }),
    );
  });
});

describe('Exposition.addHistogram()', () => {
  const buckets = (counts: readonly number[], seconds: number | undefined): Map<string, number> => {
    const exposition = new Exposition();
    exposition.addHistogram(histogram, [{ labels: ['x'], counts, seconds }]);
    const samples = parseExposition(exposition.text()).get(histogram.name)?.samples ?? [];
    return new Map(samples.map(({ name, labels, value }) => [labels.le ?? name, value]));
  };

  it('adds up powers of two of microseconds from below', () => {
    expect([...buckets([1, 2, 4, 8, 16, 32, 64], 12.5)]).toEqual([
      ['0.000008', 15],
      ['0.000016', 31],
      ['0.000032', 63],
      ['+Inf', 127],
      ['sluice_wait_seconds_sum', 12.5],
      ['sluice_wait_seconds_count', 127],
    ]);
  });

  it('leaves out a sum that nobody knows', () => {
    expect(buckets([1, 2, 3], undefined).has('sluice_wait_seconds_sum')).toBe(false);
  });
});

describe.skipIf(!has('promtool'))('promtool check metrics', () => {
  it('accepts hostile labels', () => {
    const hostile = ['\0', '"', '\\', '\n', '}\nsluice_other 1\n', '\ud800', '🦥', '', 'x'.repeat(5000), '\u2028'];
    const exposition = new Exposition();
    exposition.add(
      gauge,
      hostile.map((label) => ({ labels: [label, label], value: 1 })),
    );
    exposition.addHistogram(
      histogram,
      hostile.map((label) => ({ labels: [label], counts: [1, 2, 3], seconds: label === '' ? undefined : 0.5 })),
    );
    const { status, stderr, stdout } = spawnSync('promtool', ['check', 'metrics'], {
      input: exposition.text(),
      encoding: 'utf8',
    });
    expect({ status, stderr, stdout }).toEqual({ status: 0, stderr: '', stdout: '' });
  });
});
