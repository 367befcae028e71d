import { describe, expect, it } from 'vitest';
import { Bootstrap } from '../../src/bootstrap/bootstrap.ts';
import { byteStringFromText } from '../../src/byte-string.ts';
import { pathsOf } from '../../src/erofs/paths-of.ts';
import { ErofsReader } from '../../src/erofs/reader.ts';
import { parseProfile, writeProfile } from '../../src/profile/document.ts';
import { mergeProfiles } from '../../src/profile/merge-profiles.ts';
import { resolveProfile } from '../../src/profile/resolve-profile.ts';
import { sampleProfile } from '../profile/profiles.ts';
import { fuzz } from '../support/fuzz.ts';
import { sampleBootstrap } from '../support/sample-bootstrap.ts';

const bytes = sampleBootstrap();
const bootstrap = Bootstrap.open(bytes, undefined);
const profile = {
  ...sampleProfile,
  files: ['/spread', '/small', '/sub/other', '/a\nb'].map(byteStringFromText),
};

describe('any profile', () => {
  it('is refused, or merged and resolved to pages that the devices have', () => {
    const good = fuzz(2000, writeProfile(profile), (bytes) => {
      const parsed = parseProfile(bytes);
      mergeProfiles(parsed, profile);
      mergeProfiles(profile, parsed);
      for (const { device, page, pages } of resolveProfile(parsed, bootstrap)) {
        expect(pages).toBeGreaterThan(0);
        expect((page + pages) * 4096).toBeLessThanOrEqual(bootstrap.devices[device]?.chunks.deviceSize ?? 0);
      }
    });
    expect(good).toBeGreaterThan(50);
  });

  it('of as many pages as there may be is resolved soon', () => {
    const reads = Array.from({ length: 65_536 }, (_, i) => ({ file: i % 4, page: i, pages: 16 }));
    const started = performance.now();
    resolveProfile(parseProfile(writeProfile({ ...profile, reads })), bootstrap);
    resolveProfile({ ...profile, reads: [{ file: 0, page: 0, pages: 2 ** 20 }] }, bootstrap);
    expect(performance.now() - started).toBeLessThan(5000);
  });
});

describe('pathsOf()', () => {
  it('ends in any tree', () => {
    const { nid } = [...bootstrap.erofs.readDirectory(bootstrap.erofs.rootNid)].at(-1) ?? { nid: 0 };
    fuzz(1000, bytes, (damaged) => pathsOf(new ErofsReader(damaged), new Set([nid, 1, 2 ** 32])));
  });
});
