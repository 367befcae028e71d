import { PAGE_SIZE } from '../chunk/parameters.ts';
import type { FileRead } from '../profile/record-profile.ts';

/** Reads beyond this many are counted, not kept: 3 MiB of memory, which is not resident before it is written to. */
const capacity = 256 * 1024;

/** Words of the header, then entries. */
const word = { isActive: 0, count: 1, entries: 2 } as const;

/** Words of an entry. `pages` is written last: an entry without any is not complete. */
const entry = { nid: 0, page: 1, pages: 2, size: 3 } as const;

/** What one recording saw. */
export interface RecordedReads {
  /** In the order in which the kernel asked. */
  readonly reads: readonly FileRead[];
  /** How many more reads there were than are kept. */
  readonly lost: number;
}

/**
 * The reads of a mount, written down by its workers in memory they share with the main thread: they block in read(2)
 * and cannot be sent messages. A read costs one atomic load while nobody records.
 */
export class TraceLog {
  /** For the constructor in another thread. */
  readonly buffer: SharedArrayBuffer;
  readonly #words: Uint32Array;

  constructor(buffer: SharedArrayBuffer = new SharedArrayBuffer((word.entries + capacity * entry.size) * 4)) {
    this.buffer = buffer;
    this.#words = new Uint32Array(buffer);
  }

  get isActive(): boolean {
    return Atomics.load(this.#words, word.isActive) === 1;
  }

  /** Begins anew. */
  start(): void {
    this.#words.fill(0, word.count, word.entries + this.#kept() * entry.size);
    Atomics.store(this.#words, word.isActive, 1);
  }

  /** Reads that a worker is about to write down at this moment are left out. */
  stop(): RecordedReads {
    Atomics.store(this.#words, word.isActive, 0);
    const kept = this.#kept();
    const reads: FileRead[] = [];
    for (let i = 0; i < kept; i++) {
      const at = word.entries + i * entry.size;
      const pages = Atomics.load(this.#words, at + entry.pages);
      const [nid = 0, page = 0] = this.#words.subarray(at, at + entry.pages);
      if (pages > 0) reads.push({ nid, page, pages });
    }
    return { reads, lost: Atomics.load(this.#words, word.count) - kept };
  }

  /**
   * Writes down a read, if somebody records. Any thread.
   * @param offset - what is not in the first 16 TiB of a file is left out
   */
  add(nid: number, offset: number, length: number): void {
    if (Atomics.load(this.#words, word.isActive) === 0) return;
    const first = Math.floor(offset / PAGE_SIZE);
    if (first > 0xffffffff || nid > 0xffffffff) return;
    const index = Atomics.add(this.#words, word.count, 1);
    if (index >= capacity) return;
    const at = word.entries + index * entry.size;
    this.#words[at + entry.nid] = nid;
    this.#words[at + entry.page] = first;
    Atomics.store(this.#words, at + entry.pages, Math.ceil((offset + length) / PAGE_SIZE) - first);
  }

  #kept(): number {
    return Math.min(Atomics.load(this.#words, word.count), capacity);
  }
}
