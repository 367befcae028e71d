import { displayText } from '../byte-string.ts';
import { PAGE_SIZE } from '../chunk/parameters.ts';
import { type Profile, pageCount, readsOf } from '../profile/profile.ts';
import { bytesText, columnsText } from './output.ts';

/** `2 pages of 1 file, 8.00 KiB`. */
export function extentText({ pages, files, bytes }: Pick<ProfileFacts, 'pages' | 'files' | 'bytes'>): string {
  return `${countText(pages, 'page')} of ${countText(files, 'file')}, ${bytesText(bytes)}`;
}

export function countText(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

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

/** What is read, in order, a line a run: path, pages, size. */
export function* readTexts(profile: Profile): Generator<string> {
  for (const { path, page, pages } of readsOf(profile)) {
    const range = pages === 1 ? `${page}` : `${page}-${page + pages - 1}`;
    yield `${displayText(path)}  ${range}  ${bytesText(pages * PAGE_SIZE)}\n`;
  }
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
