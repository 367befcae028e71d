import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type ByteString, byteString } from '../../src/byte-string.ts';
import { FormatError } from '../../src/errors.ts';
import { parseProfile, writeProfile } from '../../src/profile/document.ts';
import { maximumFiles, maximumPathBytes, maximumReads, type Profile } from '../../src/profile/profile.ts';
import { anyProfile, sampleProfile } from './profiles.ts';

const encode = (document: unknown): Uint8Array => Buffer.from(JSON.stringify(document));
const plain = (): Record<string, unknown> => JSON.parse(Buffer.from(writeProfile(sampleProfile)).toString());

describe('writeProfile()', () => {
  it('writes what people can read', () => {
    expect(plain()).toEqual({
      version: 1,
      name: 'default',
      root: sampleProfile.root,
      runs: 1,
      pageExact: true,
      files: ['/usr/bin/sh', '/etc/größe', { hex: '2f6574632ff6' }, { hex: '2f610a62' }],
      reads: [
        [0, 0, 2],
        [1, 0, 1],
        [2, 7, 3],
        [3, 2, 1],
      ],
    });
  });

  it('writes what parseProfile() reads back', () => {
    fc.assert(
      fc.property(anyProfile(), (profile) => {
        expect(parseProfile(writeProfile(profile))).toEqual(profile);
      }),
    );
  });

  it('writes the largest profile there may be in less than parseProfile() takes', () => {
    const bytesPerFile = Math.floor(maximumPathBytes / maximumFiles);
    const largest: Profile = {
      ...sampleProfile,
      files: Array.from({ length: maximumFiles }, (_, i) =>
        byteString(Buffer.concat([Buffer.from(`/${i}`.padEnd(bytesPerFile - 1, '.')), Buffer.from([0xff])])),
      ),
      reads: Array.from({ length: maximumReads }, () => ({ file: maximumFiles - 1, page: 2 ** 41 - 17, pages: 16 })),
    };
    expect(parseProfile(writeProfile(largest))).toEqual(largest);
  });
});

describe('parseProfile()', () => {
  it('ignores what it does not know', () => {
    expect(parseProfile(encode({ ...plain(), later: [1] }))).toEqual(sampleProfile);
  });

  it.each<[string, Record<string, unknown>]>([
    ['another version', { version: 2 }],
    ['no version', { version: undefined }],
    ['a name that leaves its folder', { name: '../x' }],
    ['a hidden name', { name: '.x' }],
    ['a long name', { name: 'x'.repeat(65) }],
    ['a root that is no digest', { root: 'sha256:12' }],
    ['half a run', { runs: 0.5 }],
    ['no word on exactness', { pageExact: undefined }],
    ['a relative path', { files: ['etc'] }],
    ['a path upwards', { files: ['/a/../b', '/b', '/c', '/d'] }],
    ['a path with an empty name', { files: ['/a//b', '/b', '/c', '/d'] }],
    ['a path with NUL', { files: ['/a\0', '/b', '/c', '/d'] }],
    ['a path longer than Linux takes', { files: [`/${'x'.repeat(4096)}`, '/b', '/c', '/d'] }],
    ['hex that is none', { files: [{ hex: '2f6' }, '/b', '/c', '/d'] }],
    ['too many files', { files: Array.from({ length: maximumFiles + 1 }, () => '/a') }],
    ['too long paths', { files: Array.from({ length: 226 }, () => `/${'x'.repeat(4000)}`) }],
    ['too many reads', { reads: Array.from({ length: maximumReads + 1 }, () => [0, 0, 1]) }],
    ['too many pages', { reads: [[0, 0, 2 ** 20 + 1]] }],
    [
      'too many pages together',
      {
        reads: [
          [0, 0, 2 ** 20],
          [1, 0, 1],
        ],
      },
    ],
    ['a page behind all offsets', { reads: [[0, 2 ** 41, 1]] }],
    ['a run of no page', { reads: [[0, 0, 0]] }],
    ['a read of no file', { reads: [[4, 0, 1]] }],
    ['a read of two numbers', { reads: [[0, 1]] }],
    ['a read of four numbers', { reads: [[0, 1, 1, 1]] }],
    ['a read that is none', { reads: ['x'] }],
    ['a negative page', { reads: [[0, -1, 1]] }],
  ])('refuses %s', (_, change) => {
    expect(() => parseProfile(encode({ ...plain(), ...change }))).toThrow(
      expect.objectContaining({ code: 'SLUICE_PROFILE_INVALID' }),
    );
  });

  it('gives a profile or a FormatError for any bytes', () => {
    const text = Buffer.from(writeProfile(sampleProfile)).toString('latin1');
    const damaged = fc
      .tuple(fc.nat(text.length), fc.nat(8), fc.string({ maxLength: 8 }))
      .map(([at, cut, insert]) => Buffer.from(text.slice(0, at) + insert + text.slice(at + cut), 'latin1'));
    fc.assert(
      fc.property(fc.oneof(damaged, fc.uint8Array(), fc.json().map(encode)), (bytes) => {
        try {
          parseProfile(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(FormatError);
          expect(error).toMatchObject({ code: 'SLUICE_PROFILE_INVALID' });
        }
      }),
    );
  });

  it('keeps paths as they are', () => {
    const path = byteString(Buffer.from([0x2f, 0xc3, 0x28, 0x20, 0x5c, 0x22])) as ByteString;
    const profile = { ...sampleProfile, files: [path], reads: [] };
    expect(parseProfile(writeProfile(profile)).files).toEqual([path]);
  });
});
