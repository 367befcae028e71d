import { defaultReadaheadKib, type Readahead } from '../fuse/readahead.ts';
import type { HotPages } from '../hot/hot-pages.ts';

/** A start that reads nothing for so long is over. */
const quietMs = 2_000;

/** However long a start takes, or if it never comes: then the mount is like any other. */
const longestStartMs = 30_000;

/**
 * Keeps the kernel from reading ahead during a start by a profile. The profile has single pages, and what surrounds them
 * would have to be fetched: measured on python, 5 requests and 3.9 MB without readahead, 38 and 10.8 MB with 1 MiB, and
 * 89 and 9.2 MB with 16 KiB (ADR-0007).
 *
 * @param misses - how many reads were not local so far
 * @returns ends it: for a mount that is gone
 */
export function holdReadahead(readahead: Readahead, hot: HotPages, misses: () => number): () => void {
  readahead.set(0);
  const since = performance.now();
  let seen = 0;
  const timer = setInterval(() => {
    const reads = hot.used + misses();
    const isQuiet = hot.ended && reads > 0 && reads === seen;
    seen = reads;
    if (!isQuiet && performance.now() - since < longestStartMs) return;
    clearInterval(timer);
    readahead.set(defaultReadaheadKib);
  }, quietMs).unref();
  return () => clearInterval(timer);
}
