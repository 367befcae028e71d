import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Bootstrap } from '../../src/bootstrap/bootstrap.ts';
import { byteStringFromText } from '../../src/byte-string.ts';
import type { Profile } from '../../src/profile/profile.ts';
import { resolveProfile } from '../../src/profile/resolve-profile.ts';
import { sampleBootstrap } from '../support/sample-bootstrap.ts';
import { anyProfile, sampleProfile } from './profiles.ts';

const bootstrap = Bootstrap.open(sampleBootstrap(), undefined);
const names = ['/spread', '/small', '/empty', '/sub/other', '/sub', '/link', '/nowhere', '/small/x'];
const files = names.map(byteStringFromText);

function profile(...reads: readonly [name: string, page: number, pages: number][]): Profile {
  return {
    ...sampleProfile,
    files,
    reads: reads.map(([name, page, pages]) => ({ file: names.indexOf(name), page, pages })),
  };
}

describe('resolveProfile()', () => {
  it.each<[string, Profile, (readonly [device: number, page: number, pages: number])[]]>([
    ['finds pages of devices', profile(['/spread', 2, 3]), [[2, 3, 3]]],
    [
      'leaves holes out',
      profile(['/spread', 8, 14]),
      [
        [2, 9, 2],
        [0, 1, 2],
      ],
    ],
    ['leaves out what is behind the end', profile(['/spread', 71, 1000]), [[2, 37, 1]]],
    ['counts a last page that is not full', profile(['/small', 0, 1]), [[0, 2, 1]]],
    [
      'keeps the order',
      profile(['/sub/other', 0, 1], ['/spread', 1, 1], ['/spread', 0, 1]),
      [
        [2, 0, 1],
        [2, 2, 1],
        [2, 1, 1],
      ],
    ],
    ['joins what is neighbours in a device', profile(['/sub/other', 0, 1], ['/spread', 0, 2]), [[2, 0, 3]]],
    [
      'gives each page once',
      profile(['/spread', 1, 1], ['/spread', 0, 4]),
      [
        [2, 2, 1],
        [2, 1, 1],
        [2, 3, 2],
      ],
    ],
    [
      'leaves out what is no file',
      profile(['/empty', 0, 1], ['/sub', 0, 1], ['/link', 0, 1], ['/nowhere', 0, 1], ['/small/x', 0, 1]),
      [],
    ],
  ])('%s', (_, given, runs) => {
    expect(resolveProfile(given, bootstrap)).toEqual(runs.map(([device, page, pages]) => ({ device, page, pages })));
  });

  /** Page of a device, as text; undefined where there is none. The one oracle is a read of one byte. */
  function devicePage(name: string, page: number): string | undefined {
    const { erofs } = bootstrap;
    const directory = name.startsWith('/sub/') ? erofs.lookup(erofs.rootNid, byteStringFromText('sub')) : erofs.rootNid;
    const nid = erofs.lookup(directory ?? -1, byteStringFromText(name.split('/').at(-1) ?? ''));
    const [segment] = erofs.mapRange(nid ?? -1, page * 4096, 1);
    return segment?.kind === 'device' ? `${segment.device}:${segment.deviceOffset / 4096}` : undefined;
  }

  it('gives the pages that the reads are mapped to, each once, in order', () => {
    const known = ['/spread', '/small', '/sub/other'];
    fc.assert(
      fc.property(anyProfile(fc.constant(known.map(byteStringFromText))), (profile) => {
        const pages = profile.reads.flatMap(({ file, page, pages }) =>
          Array.from({ length: pages }, (_, i) => devicePage(known[file] ?? '', page + i)),
        );
        const runs = resolveProfile(profile, bootstrap);
        const found = runs.flatMap(({ device, page, pages }) =>
          Array.from({ length: pages }, (_, i) => `${device}:${page + i}`),
        );
        expect(found).toEqual([...new Set(pages)].filter((page) => page !== undefined));
        runs.slice(1).forEach(({ device, page }, i) => {
          const last = runs[i];
          expect([device, page]).not.toEqual([last?.device, (last?.page ?? 0) + (last?.pages ?? 0)]);
        });
      }),
    );
  });
});
