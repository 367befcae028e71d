import { describe, expect, it } from 'vitest';
import { Bootstrap } from '../../src/bootstrap/bootstrap.ts';
import { byteStringFromText } from '../../src/byte-string.ts';
import { parseProfile, writeProfile } from '../../src/profile/document.ts';
import { maximumPages, maximumReads, pageCount } from '../../src/profile/profile.ts';
import { ProfileBuilder } from '../../src/profile/profile-builder.ts';
import { recordProfile } from '../../src/profile/record-profile.ts';
import { sampleBootstrap } from '../support/sample-bootstrap.ts';
import { sampleRoot } from './profiles.ts';

const head = { name: 'default', root: sampleRoot, pageExact: true };

describe('recordProfile()', () => {
  const bootstrap = Bootstrap.open(sampleBootstrap(), undefined);
  const { erofs } = bootstrap;
  const nid = (directory: number, name: string): number => erofs.lookup(directory, byteStringFromText(name)) ?? -1;
  const spread = nid(erofs.rootNid, 'spread');
  const other = nid(nid(erofs.rootNid, 'sub'), 'other');

  it('names files by path, in the order of their reads, and joins what was read in one go', () => {
    const reads = [
      { nid: other, page: 0, pages: 1 },
      { nid: spread, page: 3, pages: 1 },
      { nid: spread, page: 4, pages: 4 },
      { nid: spread, page: 0, pages: 1 },
    ];
    expect(recordProfile(head, bootstrap, reads)).toEqual({
      ...head,
      runs: 1,
      files: ['/sub/other', '/spread'],
      reads: [
        { file: 0, page: 0, pages: 1 },
        { file: 1, page: 3, pages: 5 },
        { file: 1, page: 0, pages: 1 },
      ],
    });
  });

  it('leaves out what was read before, what lies behind the end, and what has no name', () => {
    const reads = [
      { nid: spread, page: 70, pages: 32 },
      { nid: spread, page: 72, pages: 2 },
      { nid: 123_456, page: 0, pages: 1 },
    ];
    const { files, reads: runs } = recordProfile(head, bootstrap, reads);
    expect(files).toEqual(['/spread']);
    expect(runs).toEqual([{ file: 0, page: 70, pages: 4 }]);
  });
});

describe('ProfileBuilder', () => {
  const path = byteStringFromText('/a');

  it('leaves out the pages that are too many', () => {
    const builder = new ProfileBuilder();
    for (let page = 0; page < maximumPages + 10; page++) builder.add(path, page);
    expect(pageCount(builder.build({ ...head, runs: 1 }))).toBe(maximumPages);
  });

  it('leaves out the runs that are too many, and keeps what lengthens the last', () => {
    const builder = new ProfileBuilder();
    for (let page = 0; page < maximumReads + 10; page++) builder.add(path, page * 2);
    builder.add(path, maximumReads * 2 - 1);
    builder.add(byteStringFromText('/b'), 0);
    const { files, reads } = builder.build({ ...head, runs: 1 });
    expect(files).toEqual(['/a']);
    expect(reads.length).toBe(maximumReads);
    expect(reads.at(-1)).toEqual({ file: 0, page: maximumReads * 2 - 2, pages: 2 });
  });

  it('builds what can be written and read, however much there is', () => {
    const builder = new ProfileBuilder();
    for (let i = 0; i < 20_000; i++) builder.add(byteStringFromText(`/${'ä'.repeat(100)}${i}`), i);
    const profile = builder.build({ ...head, runs: 1 });
    expect(parseProfile(writeProfile(profile))).toEqual(profile);
  });
});
