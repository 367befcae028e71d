import { PAGE_SIZE } from '../chunk/parameters.ts';
import { pageKey } from './groups.ts';

/** What a worker thread needs to read hot pages. Goes through `postMessage`; the buffers are shared, not copied. */
export interface HotViewDescriptor {
  /** u32 each, see {@link hotControl}. All access is atomic. */
  readonly control: SharedArrayBuffer;
  /** f64 a run: key of its first page; ascending. */
  readonly keys: SharedArrayBuffer;
  /** u32 a run: its pages. */
  readonly pages: SharedArrayBuffer;
  /** u32 a run: slot of its first page. */
  readonly slots: SharedArrayBuffer;
  /** The pages, slot after slot. */
  readonly content: SharedArrayBuffer;
}

/** A run of hot pages within some bytes of a device. */
export interface HotPiece {
  /** From the beginning of those bytes to the piece, bytes; whole pages. */
  readonly offset: number;
  /** Of its first page. */
  readonly slot: number;
  readonly pages: number;
}

/**
 * Words of `control`: how many runs the table has, 0 until it is complete; how many slots are filled; how many reads
 * were answered, by any thread.
 */
export const hotControl = { runs: 0, ready: 1, used: 2, words: 3 } as const;

/**
 * The pages of a hot blob as far as they have come, for any thread: synchronous and without waiting.
 *
 * Slots are filled in order, and only with verified bytes, so one number says which pages are there. A thread that
 * blocks in read(2) cannot be told that the table has come: it sees it in shared memory, which was reserved before.
 */
export class HotView {
  readonly #control: Uint32Array;
  readonly #keys: Float64Array;
  readonly #pages: Uint32Array;
  readonly #slots: Uint32Array;
  readonly #content: Uint8Array;
  /** What {@link HotView.#locate} found: where in `content`, and how many bytes from there. */
  #start = 0;
  #length = 0;

  constructor(descriptor: HotViewDescriptor) {
    this.#control = new Uint32Array(descriptor.control);
    this.#keys = new Float64Array(descriptor.keys);
    this.#pages = new Uint32Array(descriptor.pages);
    this.#slots = new Uint32Array(descriptor.slots);
    this.#content = new Uint8Array(descriptor.content);
  }

  /**
   * Fills `target` with verified bytes of a device image.
   * @param deviceOffset - bytes
   * @returns false when any of its pages is not there: `target` holds rubbish then
   */
  readInto(device: number, deviceOffset: number, target: Uint8Array): boolean {
    const ready = Atomics.load(this.#control, hotControl.ready);
    for (let filled = 0; filled < target.length; filled += this.#length) {
      if (!this.#locate(device, deviceOffset + filled, target.length - filled, ready)) return false;
      target.set(this.#content.subarray(this.#start, this.#start + this.#length), filled);
    }
    Atomics.add(this.#control, hotControl.used, 1);
    return true;
  }

  /** Whether all these bytes are there, or will be when the stream goes on. */
  declares(device: number, deviceOffset: number, length: number): boolean {
    for (let found = 0; found < length; found += this.#length) {
      if (!this.#locate(device, deviceOffset + found, length - found, Number.POSITIVE_INFINITY)) return false;
    }
    return true;
  }

  /** Whether it is known what will come. */
  get isAnnounced(): boolean {
    return Atomics.load(this.#control, hotControl.runs) > 0;
  }

  /**
   * What of some bytes of a device is hot, there already or not, in order.
   * @param deviceOffset - at the beginning of a page
   */
  pieces(device: number, deviceOffset: number, length: number): HotPiece[] {
    const first = pageKey(device, deviceOffset / PAGE_SIZE);
    const end = first + Math.ceil(length / PAGE_SIZE);
    const pieces: HotPiece[] = [];
    const runs = Atomics.load(this.#control, hotControl.runs);
    for (let run = Math.max(0, this.#find(first)); run < runs; run++) {
      const key = this.#keys[run] ?? end;
      if (key >= end) break;
      const from = Math.max(first, key);
      const pages = Math.min(end, key + (this.#pages[run] ?? 0)) - from;
      if (pages <= 0) continue;
      pieces.push({ offset: (from - first) * PAGE_SIZE, slot: (this.#slots[run] ?? 0) + from - key, pages });
    }
    return pieces;
  }

  isReady({ slot, pages }: HotPiece): boolean {
    return slot + pages <= Atomics.load(this.#control, hotControl.ready);
  }

  /** @returns a view of `length` verified bytes, of pages that are ready */
  content(slot: number, length: number): Uint8Array {
    return this.#content.subarray(slot * PAGE_SIZE, slot * PAGE_SIZE + length);
  }

  /** Finds the byte at `deviceOffset` and at most `length` that follow it in the same run, in slots below `ready`. */
  #locate(device: number, deviceOffset: number, length: number, ready: number): boolean {
    const key = pageKey(device, Math.floor(deviceOffset / PAGE_SIZE));
    const run = this.#find(key);
    if (run < 0) return false;
    const before = key - (this.#keys[run] ?? 0);
    const slot = (this.#slots[run] ?? 0) + before;
    const pages = Math.min((this.#pages[run] ?? 0) - before, ready - slot);
    if (pages <= 0) return false;
    this.#start = slot * PAGE_SIZE + (deviceOffset % PAGE_SIZE);
    this.#length = Math.min(length, (slot + pages) * PAGE_SIZE - this.#start);
    return true;
  }

  /** The last run that begins at `key` or before; -1 when there is none. */
  #find(key: number): number {
    let low = -1;
    let high = Atomics.load(this.#control, hotControl.runs) - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if ((this.#keys[middle] ?? 0) <= key) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}
