import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { byteStringFromText } from '../../src/byte-string.ts';
import { mergeProfiles } from '../../src/profile/merge-profiles.ts';
import type { Profile } from '../../src/profile/profile.ts';
import { anyProfile, pagesOf, sampleProfile } from './profiles.ts';

const files = ['/a', '/b', '/c'].map(byteStringFromText);
const some = anyProfile(fc.shuffledSubarray(files, { minLength: 1 }));
const nothing: Profile = { ...sampleProfile, files: [], reads: [] };
const unique = (pages: readonly string[]): string[] => [...new Set(pages)];

/** `a0 b3 a1`: pages of files /a and /b, in this order. */
function profile(text: string): Profile {
  const reads = text.split(' ').map(([file = '', ...page]) => {
    return { file: 'abc'.indexOf(file), page: Number(page.join('')), pages: 1 };
  });
  return { ...sampleProfile, files, reads };
}

describe('mergeProfiles()', () => {
  it.each([
    ['puts a page behind the one it follows', 'a0 a5 b0', 'a0 a1 b0', '/a:0 /a:1 /a:5 /b:0'],
    ['puts first what comes first', 'a5', 'c0 c1 a5 c2', '/c:0 /c:1 /a:5 /c:2'],
    ['keeps the order of the first', 'a0 b0 c0', 'c0 b0 a0', '/a:0 /b:0 /c:0'],
    ['puts a page behind the last known one', 'a0 a9', 'a9 b1 a0 b2 a9 b3', '/a:0 /b:2 /a:9 /b:1 /b:3'],
  ])('%s', (_, a, b, merged) => {
    expect(pagesOf(mergeProfiles(profile(a), profile(b))).join(' ')).toBe(merged);
  });

  it('joins neighbours', () => {
    expect(mergeProfiles(profile('a0 a2'), profile('a0 a1')).reads).toEqual([{ file: 0, page: 0, pages: 3 }]);
  });

  it('holds the pages of both, each once, those of the first in their order', () => {
    fc.assert(
      fc.property(some, some, (a, b) => {
        const merged = pagesOf(mergeProfiles(a, b));
        expect(unique(merged)).toEqual(merged);
        expect(new Set(merged)).toEqual(new Set([...pagesOf(a), ...pagesOf(b)]));
        const ofFirst = new Set(pagesOf(a));
        expect(merged.filter((page) => ofFirst.has(page))).toEqual(unique(pagesOf(a)));
      }),
    );
  });

  it('changes nothing but the count of runs when the same is merged again', () => {
    fc.assert(
      fc.property(some, some, (a, b) => {
        const once = mergeProfiles(a, b);
        expect(mergeProfiles(once, b)).toEqual({ ...once, runs: once.runs + b.runs });
        expect(pagesOf(mergeProfiles(once, nothing))).toEqual(pagesOf(once));
      }),
    );
  });

  it('is exact when both are', () => {
    fc.assert(
      fc.property(some, some, (a, b) => {
        const { name, root, runs, pageExact } = mergeProfiles(a, b);
        expect({ name, root, runs, pageExact }).toEqual({
          name: a.name,
          root: b.root,
          runs: a.runs + b.runs,
          pageExact: a.pageExact && b.pageExact,
        });
      }),
    );
  });
});
