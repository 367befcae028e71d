import type { PageRun } from '../bootstrap/page-run.ts';
import { type HashBlockAddress, hashBlocksOf } from '../digest/page-verifier.ts';
import { maximumHotPages } from './format.ts';

/** A hash block of one device's Merkle tree. */
export interface HotHashBlock extends HashBlockAddress {
  readonly device: number;
}

/**
 * Pages of the first groups, then of every further one: the first page is there soon, and later ones compress better
 * (ADR-0007 has the numbers).
 */
const firstGroups = [16, 32, 64] as const;
const usualGroup = 128;

/** One number for a page of any device: EROFS counts a device's pages in 32 bits. */
export const pageKey = (device: number, page: number): number => device * 2 ** 32 + page;

/**
 * Divides pages into groups in the order of their first access. Within a group, which is there at once, order means
 * nothing: its pages stand in the order of their devices, where neighbours make long runs and compress best.
 *
 * @param runs - in the order of access; a page that comes again counts once, and what is above the most pages of a hot
 *   blob is left out
 */
export function divideIntoGroups(runs: Iterable<PageRun>): PageRun[][] {
  const groups: PageRun[][] = [];
  let keys: number[] = [];
  for (const key of firstUses(runs)) {
    keys.push(key);
    if (keys.length < (firstGroups[groups.length] ?? usualGroup)) continue;
    groups.push(joinPages(keys));
    keys = [];
  }
  if (keys.length > 0) groups.push(joinPages(keys));
  return groups;
}

function* firstUses(runs: Iterable<PageRun>): Generator<number, undefined> {
  const seen = new Set<number>();
  for (const { device, page, pages } of runs) {
    for (let i = 0; i < pages; i++) {
      if (seen.size === maximumHotPages) return;
      const key = pageKey(device, page + i);
      if (seen.has(key)) continue;
      seen.add(key);
      yield key;
    }
  }
}

function joinPages(keys: readonly number[]): PageRun[] {
  const runs: { device: number; page: number; pages: number }[] = [];
  let next = -1;
  for (const key of Float64Array.from(keys).sort()) {
    const last = runs.at(-1);
    if (last !== undefined && key === next) last.pages++;
    else runs.push({ device: Math.floor(key / 2 ** 32), page: key % 2 ** 32, pages: 1 });
    next = key + 1;
  }
  return runs;
}

/** Tells which hash blocks each group brings along. Groups are asked for in their order. */
export class HashBlockPlan {
  readonly #sizes: readonly number[];
  readonly #brought = new Set<string>();

  /** @param sizes - of all devices of the image, bytes */
  constructor(sizes: readonly number[]) {
    this.#sizes = sizes;
  }

  /**
   * @param runs - of the next group, within their devices
   * @returns what its pages need and no group before it brought, by device, then from the top of each tree
   */
  next(runs: readonly PageRun[]): HotHashBlock[] {
    const blocks: HotHashBlock[] = [];
    for (const device of new Set(runs.map((run) => run.device))) {
      const own = runs.filter((run) => run.device === device);
      for (const { level, index } of hashBlocksOf(this.#sizes[device] ?? 0, own)) {
        const name = `${device}/${level}/${index}`;
        if (this.#brought.has(name)) continue;
        this.#brought.add(name);
        blocks.push({ device, level, index });
      }
    }
    return blocks;
  }
}
