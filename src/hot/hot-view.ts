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
