/** Threads that may count, each in a row of its own. */
const maximumThreads = 16;

/** Buckets of the histogram: bucket `i` counts what took less than 2^i microseconds, the last one the rest too. */
const buckets = 24;

const word = { reads: 0, bytes: 1, misses: 2, buckets: 3, size: 3 + buckets } as const;

/** What the threads of a mount have answered so far. */
export interface CountedReads {
  /** Answered from the cache or hot pages, by the threads alone. */
  readonly reads: number;
  readonly bytes: number;
  /** Passed on, because something was not local. */
  readonly misses: number;
  /** Of local reads: how many took less than 2^i µs and not less than half of that, the last one more. */
  readonly buckets: readonly number[];
}

/** The counters of one thread. */
export interface ReadCounter {
  /** @param begun - when the read came in, by performance.now() */
  local(bytes: number, begun: number): void;
  missed(): void;
}

/**
 * Counts a mount's reads where they are answered: each thread in its own row of shared memory, without locks. A row is
 * written by one thread only, and a number is 64 aligned bits: whoever reads it sees the old one or the new one.
 */
export class ReadCounters {
  /** For the constructor in another thread. */
  readonly buffer: SharedArrayBuffer;
  readonly #words: Float64Array;

  constructor(buffer: SharedArrayBuffer = new SharedArrayBuffer(maximumThreads * word.size * 8)) {
    this.buffer = buffer;
    this.#words = new Float64Array(buffer);
  }

  /** @param thread - its number, from 0: no other thread may have it */
  counter(thread: number): ReadCounter {
    const row = this.#words.subarray((thread % maximumThreads) * word.size);
    const add = (at: number, amount: number): void => {
      row[at] = (row[at] ?? 0) + amount;
    };
    return {
      local: (bytes, begun) => {
        add(word.reads, 1);
        add(word.bytes, bytes);
        add(word.buckets + bucketOf(performance.now() - begun), 1);
      },
      missed: () => add(word.misses, 1),
    };
  }

  snapshot(): CountedReads {
    const sums = new Array<number>(word.size).fill(0);
    for (const [at, value] of this.#words.entries()) sums[at % word.size] = (sums[at % word.size] ?? 0) + value;
    const [reads = 0, bytes = 0, misses = 0, ...counts] = sums;
    return { reads, bytes, misses, buckets: counts };
  }
}

/** The bucket of a duration: {@link CountedReads.buckets}. */
function bucketOf(milliseconds: number): number {
  const microseconds = Math.min(milliseconds * 1000, 2 ** (buckets - 1));
  return microseconds < 1 ? 0 : Math.min(buckets - 1, 32 - Math.clz32(microseconds));
}
