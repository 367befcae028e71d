import { describe, expect, it } from 'vitest';
import { extentText, listText, profileFacts, readTexts } from '../../src/cli/profile-text.ts';
import { sampleProfile } from '../profile/profiles.ts';

describe('sluice trace show', () => {
  it('shows what is read in order, whatever the bytes of a path', () => {
    expect([...readTexts(sampleProfile)]).toEqual([
      '/usr/bin/sh  0-1  8.00 KiB\n',
      '/etc/größe  0  4.00 KiB\n',
      '/etc/\\xf6  7-9  12.0 KiB\n',
      '/a\\x0ab  2  4.00 KiB\n',
    ]);
  });

  it('sums up', () => {
    const facts = profileFacts(sampleProfile);
    expect(facts).toMatchObject({ name: 'default', runs: 1, pageExact: true, files: 4, pages: 7, bytes: 28_672 });
    expect(extentText(facts)).toBe('7 pages of 4 files, 28.0 KiB');
    expect(extentText({ pages: 1, files: 1, bytes: 4096 })).toBe('1 page of 1 file, 4.00 KiB');
    expect(listText([facts, { ...facts, name: 'w', pageExact: false }])).toBe(
      'PROFILE  RUNS  FILES  PAGES      SIZE  EXACT\n' +
        'default     1      4      7  28.0 KiB    yes\n' +
        'w           1      4      7  28.0 KiB     no\n',
    );
    expect(listText([])).toBe('');
  });
});
