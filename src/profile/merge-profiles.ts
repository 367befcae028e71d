import type { ByteString } from '../byte-string.ts';
import { type Profile, readsOf } from './profile.ts';
import { ProfileBuilder } from './profile-builder.ts';

interface Page {
  readonly path: ByteString;
  readonly page: number;
  /** The same for the same page of both profiles. */
  readonly key: string;
}

/**
 * Joins two profiles: the pages of both. The order is that of `a`; what only `b` has stands behind the page it follows
 * in `b`. Merging a profile with itself changes the count of its runs alone.
 *
 * @returns with the name of `a`, the root of `b`, and the runs of both
 */
export function mergeProfiles(a: Profile, b: Profile): Profile {
  const numbers = new Map<ByteString, number>();
  const pagesOfA = [...pagesOf(a, numbers)];
  const { first, following } = additions(new Set(pagesOfA.map(({ key }) => key)), pagesOf(b, numbers));
  const builder = new ProfileBuilder();
  const add = ({ path, page }: Page): void => builder.add(path, page);
  first.forEach(add);
  for (const page of pagesOfA) {
    add(page);
    following.get(page.key)?.forEach(add);
  }
  const { name } = a;
  return builder.build({ name, root: b.root, runs: a.runs + b.runs, pageExact: a.pageExact && b.pageExact });
}

/** What is not known, by what it follows: nothing that is known, or the page with that key. */
function additions(
  known: ReadonlySet<string>,
  pages: Iterable<Page>,
): { readonly first: readonly Page[]; readonly following: ReadonlyMap<string, readonly Page[]> } {
  const first: Page[] = [];
  const following = new Map<string, Page[]>();
  let place = first;
  for (const page of pages) {
    if (!known.has(page.key)) {
      place.push(page);
      continue;
    }
    place = following.get(page.key) ?? [];
    following.set(page.key, place);
  }
  return { first, following };
}

/** @param numbers - a number for each path; those that are missing are added */
function* pagesOf(profile: Profile, numbers: Map<ByteString, number>): Generator<Page> {
  for (const { path, page: start, pages } of readsOf(profile)) {
    const number = numbers.get(path) ?? numbers.size;
    numbers.set(path, number);
    for (let page = start; page < start + pages; page++) yield { path, page, key: `${number}:${page}` };
  }
}
