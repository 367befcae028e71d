import { describe, expect, it } from 'vitest';
import { parseChallenges } from '../../src/registry/challenge.ts';

describe('parseChallenges()', () => {
  it.each([
    ['Basic realm="a b"', [{ scheme: 'basic', parameters: { realm: 'a b' } }]],
    [
      'Bearer realm="https://auth.example/token",service="r",scope="repository:a/b:pull,push"',
      [
        {
          scheme: 'bearer',
          parameters: { realm: 'https://auth.example/token', service: 'r', scope: 'repository:a/b:pull,push' },
        },
      ],
    ],
    [
      'Negotiate, Basic Realm = "x\\"y" , charset=UTF-8',
      [
        { scheme: 'negotiate', parameters: {} },
        { scheme: 'basic', parameters: { realm: 'x"y', charset: 'UTF-8' } },
      ],
    ],
    ['realm="nobody asked"', []],
    ['Bearer realm="never ends', [{ scheme: 'bearer', parameters: {} }]],
    ['', []],
  ])('reads %s', (header, expected) => {
    expect(parseChallenges(header)).toEqual(expected);
  });

  it('takes time in proportion to what it reads', () => {
    for (const part of ['a="\\', ',', ' ', 'a ', 'a=b,', '"'])
      expect(parseChallenges(part.repeat(100_000))).toBeDefined();
  });
});
