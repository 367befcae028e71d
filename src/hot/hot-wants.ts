/** Files a start reads, at most. What comes after them is read page by page, as without all this. */
const maximumWants = 8192;

/** Words of the shared memory: counts changes of any kind, has whether it is over, and how many files were named. */
const word = { changes: 0, closed: 1, count: 2, words: 4 } as const;

/**
 * Which files somebody has begun to read, told by the threads that serve to the one that pushes pages. Nobody who tells
 * waits; whoever listens does. On shared memory, because a thread that serves has no event loop.
 */
export class HotWants {
  /** For other threads: `new HotWants(wants.buffer)`. */
  readonly buffer: SharedArrayBuffer;
  readonly #words: Int32Array;
  readonly #nids: BigInt64Array;
  readonly #told = new Set<number>();

  constructor(buffer: SharedArrayBuffer = new SharedArrayBuffer(word.words * 4 + maximumWants * 8)) {
    this.buffer = buffer;
    this.#words = new Int32Array(buffer, 0, word.words);
    this.#nids = new BigInt64Array(buffer, word.words * 4);
  }

  /** Somebody reads file `nid`. Said again by the same thread it is nothing. */
  add(nid: number): void {
    if (this.#told.has(nid)) return;
    this.#told.add(nid);
    const index = Atomics.add(this.#words, word.count, 1);
    if (index < maximumWants) Atomics.store(this.#nids, index, BigInt(nid));
    this.changed();
  }

  /** There is something new for whoever listens. */
  changed(): void {
    Atomics.add(this.#words, word.changes, 1);
    Atomics.notify(this.#words, word.changes);
  }

  /** Nothing more is wanted. */
  close(): void {
    Atomics.store(this.#words, word.closed, 1);
    this.changed();
  }

  get changes(): number {
    return Atomics.load(this.#words, word.changes);
  }

  get isClosed(): boolean {
    return Atomics.load(this.#words, word.closed) !== 0;
  }

  /** Blocks until there is a change after the one counted `seen`. */
  wait(seen: number): void {
    Atomics.wait(this.#words, word.changes, seen);
  }

  /** The file named as number `index`; undefined when there is none yet. */
  at(index: number): number | undefined {
    const nid = index < maximumWants ? Number(Atomics.load(this.#nids, index)) : 0;
    return nid === 0 ? undefined : nid;
  }
}
