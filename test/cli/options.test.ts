import { describe, expect, it } from 'vitest';
import { defaultCacheSize, parseBytes, parseCount, parseFailurePolicy } from '../../src/cli/options.ts';

describe('parseBytes()', () => {
  it.each([
    ['0', 0],
    ['1000000', 1_000_000],
    ['512M', 512 * 2 ** 20],
    ['10GiB', 10 * 2 ** 30],
    ['10gb', 10 * 2 ** 30],
    ['1.5K', 1536],
    ['1 T', 2 ** 40],
    ['7B', 7],
    ['0.3', 0],
    ['8191T', 8191 * 2 ** 40],
  ])('reads %s', (text, bytes) => {
    expect(parseBytes(text)).toBe(bytes);
  });

  it.each(['', 'M', '-1', '1e3', '1.', '.5', '1P', '1MM', '1,5G', '0x10', ' 1', 'Infinity', '8192T', '9'.repeat(400)])(
    'refuses %j',
    (text) => {
      expect(() => parseBytes(text)).toThrow(expect.objectContaining({ code: 'SLUICE_OPTION_INVALID' }));
    },
  );
});

describe('parseCount()', () => {
  it('takes whole numbers from 1 up', () => {
    expect(parseCount('12')).toBe(12);
    for (const text of ['0', '-1', '1.5', 'x', '']) {
      expect(() => parseCount(text)).toThrow(expect.objectContaining({ code: 'SLUICE_OPTION_INVALID' }));
    }
  });
});

describe('defaultCacheSize()', () => {
  it('looks at the disk of a directory that does not exist yet', () => {
    expect(defaultCacheSize('/nowhere/at/all')).toBe(defaultCacheSize('/'));
    expect(defaultCacheSize('/')).toBeLessThanOrEqual(10 * 2 ** 30);
  });
});

describe('parseFailurePolicy()', () => {
  it.each([
    ['eio', { kind: 'eio' }],
    ['offline', { kind: 'offline' }],
    ['wait', { kind: 'wait', milliseconds: 30_000 }],
    ['wait:10s', { kind: 'wait', milliseconds: 10_000 }],
    ['wait:250ms', { kind: 'wait', milliseconds: 250 }],
    ['wait:1.5m', { kind: 'wait', milliseconds: 90_000 }],
    ['wait:2h', { kind: 'wait', milliseconds: 7_200_000 }],
  ])('reads %s', (text, policy) => {
    expect(parseFailurePolicy(text)).toEqual(policy);
  });

  it.each(['', 'never', 'wait:', 'wait:10', 'wait:0s', 'wait:-1s', 'wait:1d', 'eio:1s', 'wait:99999999s'])(
    'refuses "%s"',
    (text) => {
      expect(() => parseFailurePolicy(text)).toThrow(expect.objectContaining({ code: 'SLUICE_OPTION_INVALID' }));
    },
  );
});
