import { describe, expect, it } from 'vitest';
import {
  checkBody,
  type Fields,
  isBoolean,
  isListOf,
  isMapOf,
  isObjectWith,
  isPositive,
  isText,
  oneOf,
} from '../../src/control/check-body.ts';

const parse = (text: string): Record<string, unknown> => JSON.parse(text) as Record<string, unknown>;

describe('checkBody()', () => {
  const fields: Fields<{ name: string; deep?: boolean }> = {
    name: [isText, 'a name', 'required'],
    deep: [isBoolean, 'true or false', 'optional'],
  };

  it.each(['{"name":"a"}', '{"name":"a","deep":false}'])('takes %s', (text) => {
    const body = parse(text);
    expect(checkBody('act', fields, body)).toBe(body);
  });

  it.each([
    ['{}', 'Cannot act: want "name" to be a name'],
    ['{"name":null}', 'Cannot act: want "name" to be a name'],
    ['{"name":""}', 'Cannot act: want "name" to be a name'],
    ['{"name":"a\\u0000"}', 'Cannot act: want "name" to be a name'],
    ['{"name":"a","deep":null}', 'Cannot act: want "deep" to be true or false'],
    ['{"name":"a","deeper":true}', 'Cannot act: "deeper" is no field of such a request'],
    ['{"name":"a","__proto__":{}}', 'Cannot act: "__proto__" is no field of such a request'],
    ['{"name":"a","constructor":1}', 'Cannot act: "constructor" is no field of such a request'],
  ])('refuses %s', (text, message) => {
    expect(() => checkBody('act', fields, parse(text))).toThrow(
      expect.objectContaining({ code: 'SLUICE_OPTION_INVALID', message }),
    );
  });

  it('quotes no more than 100 characters of a name', () => {
    const body = { name: 'a', ['x'.repeat(10_000)]: 1 };
    expect(() => checkBody('act', fields, body)).toThrow(`"${'x'.repeat(100)}" is`);
  });
});

describe('checks', () => {
  it.each([
    ['isPositive', isPositive, ['1', '2.5'], ['0', '0.9', '-1', '1e999', '"1"', 'null', 'true']],
    ['oneOf', oneOf('a', 1), ['"a"', '1'], ['"1"', '"b"', 'null', '["a"]']],
    ['isListOf', isListOf(isText), ['[]', '["a"]'], ['["a",1]', '{}', '"a"', 'null']],
    ['isMapOf', isMapOf(isText), ['{}', '{"a":"b","__proto__":"c"}'], ['{"a":1}', '["a"]', 'null', '"a"']],
    [
      'isObjectWith',
      isObjectWith({ a: isText }, { b: isText }),
      ['{"a":"x"}', '{"a":"x","b":"y"}'],
      ['{}', '{"b":"y"}', '{"a":1}', '{"a":"x","c":1}', '{"a":"x","constructor":1}', '{"a":"x","__proto__":1}', '[]'],
    ],
  ])('%s', (_name, check, good, bad) => {
    expect(good.filter((text) => !check(JSON.parse(text)))).toEqual([]);
    expect(bad.filter((text) => check(JSON.parse(text)))).toEqual([]);
  });
});
