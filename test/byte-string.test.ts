import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { byteString, byteStringFromText, bytesOf, displayText } from '../src/byte-string.ts';

describe('byteString()', () => {
  it('keeps every byte and the order of bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.uint8Array(), (a, b) => {
        expect(new Uint8Array(bytesOf(byteString(a)))).toEqual(a);
        expect(Math.sign(Buffer.compare(a, b))).toBe(
          byteString(a) < byteString(b) ? -1 : byteString(a) > byteString(b) ? 1 : 0,
        );
      }),
    );
  });

  it('copies', () => {
    const bytes = Uint8Array.of(97);
    const value = byteString(bytes);
    bytes[0] = 98;
    expect(value).toBe('a');
  });
});

describe('displayText()', () => {
  it.each([
    [byteStringFromText('naïve/日本'), 'naïve/日本'],
    [byteString(Uint8Array.of(0x61, 0xff, 0x62)), 'a\\xffb'],
    [byteStringFromText('a\n\x1b[31m'), 'a\\x0a\\x1b[31m'],
  ])('%j shows as %s', (value, text) => {
    expect(displayText(value)).toBe(text);
  });
});
