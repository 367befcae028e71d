import { displayText } from '../byte-string.ts';
import { PAGE_SIZE } from '../chunk/parameters.ts';
import { type Profile, pageCount } from '../profile/profile.ts';
import { jsonText } from './file-text.ts';
import { bytesText, columnsText, printResult } from './output.ts';

/** A table of profiles; nothing when there are none. */
export function listText(facts: readonly ProfileFacts[]): string {
  if (facts.length === 0) return '';
  const rows = facts.map(({ name, runs, files, pages, bytes, pageExact }) => [
    name,
    `${runs}`,
    `${files}`,
    `${pages}`,
    bytesText(bytes),
    pageExact ? 'yes' : 'no',
  ]);
  return columnsText([['PROFILE', 'RUNS', 'FILES', 'PAGES', 'SIZE', 'EXACT'], ...rows], '<');
}

/** Prints what is read, in order. */
export function printProfile(json: boolean | undefined, profile: Profile): void {
  const reads = profile.reads.flatMap(({ file, page, pages }) => {
    const path = profile.files[file];
    return path === undefined ? [] : [{ path, page, pages }];
  });
  const facts = {
    ...profileFacts(profile),
    reads: reads.map(({ path, page, pages }) => ({ ...jsonText('path', path), page, pages })),
  };
  printResult(json, facts, () =>
    reads
      .map(({ path, page, pages }) => {
        const range = pages === 1 ? `${page}` : `${page}-${page + pages - 1}`;
        return `${displayText(path)}  ${range}  ${bytesText(pages * PAGE_SIZE)}\n`;
      })
      .join(''),
  );
}

/** What there is to say of a profile in short. */
export interface ProfileFacts extends Pick<Profile, 'name' | 'root' | 'runs' | 'pageExact'> {
  readonly files: number;
  readonly pages: number;
  readonly bytes: number;
}

export function profileFacts(profile: Profile): ProfileFacts {
  const { name, root, runs, pageExact, files } = profile;
  const pages = pageCount(profile);
  return { name, root, runs, pageExact, files: files.length, pages, bytes: pages * PAGE_SIZE };
}
