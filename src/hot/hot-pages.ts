import { PAGE_SIZE } from '../chunk/parameters.ts';
import { maximumHotPages } from './format.ts';
import { HotView, type HotViewDescriptor, hotControl } from './hot-view.ts';
import { HotWants } from './hot-wants.ts';
import type { HotRun } from './reader.ts';

/** How long readers wait for a page that is on its way, milliseconds. Then they get it as if there were no hot blob. */
export interface HotPatience {
  /** From the beginning until the index is there: about what the request for a chunk would take instead. */
  readonly indexMs: number;
  /** While no byte arrives. */
  readonly stallMs: number;
  /** In all. Bounds what a slow or hostile stream can hold up one read. */
  readonly totalMs: number;
}

const defaultPatience: HotPatience = { indexMs: 500, stallMs: 1000, totalMs: 5000 };

/**
 * The pages of a hot blob, in shared memory that is reserved before the mount and filled while it is used. Main thread;
 * other threads look into it through {@link HotView}. What is never filled takes no memory.
 */
export class HotPages {
  /** For worker threads: `new HotView(pages.descriptor)`. */
  readonly descriptor: HotViewDescriptor;
  /** Which files are being read; told of every change here, too. */
  readonly wants = new HotWants();
  /** Pages there is room for; what comes after them is not kept. */
  readonly capacity: number;
  readonly #view: HotView;
  readonly #control: Uint32Array;
  readonly #content: Uint8Array;
  readonly #patience: HotPatience;
  readonly #waiting = new Set<() => void>();
  readonly #startedAt = performance.now();
  #arrivedAt = this.#startedAt;
  #state: 'opening' | 'streaming' | 'ended' = 'opening';

  /** @param pages - how many are announced; more than a hot blob may hold are as many as it may hold */
  constructor(pages: number, patience: HotPatience = defaultPatience) {
    this.capacity = Math.min(pages, maximumHotPages);
    const words = (): SharedArrayBuffer => new SharedArrayBuffer(this.capacity * Uint32Array.BYTES_PER_ELEMENT);
    this.descriptor = {
      control: new SharedArrayBuffer(hotControl.words * Uint32Array.BYTES_PER_ELEMENT),
      keys: new SharedArrayBuffer(this.capacity * Float64Array.BYTES_PER_ELEMENT),
      pages: words(),
      slots: words(),
      content: new SharedArrayBuffer(this.capacity * PAGE_SIZE),
    };
    this.#view = new HotView(this.descriptor);
    this.#control = new Uint32Array(this.descriptor.control);
    this.#content = new Uint8Array(this.descriptor.content);
    this.#patience = patience;
  }

  /** Pages that can be read now. */
  get ready(): number {
    return this.#control[hotControl.ready] ?? 0;
  }

  /** Reads that were answered, by any thread. */
  get used(): number {
    return Atomics.load(this.#control, hotControl.used);
  }

  /** Whether nothing more will come. */
  get ended(): boolean {
    return this.#state === 'ended';
  }

  /**
   * Tells readers what will come. Called once.
   * @param runs - ascending by key, not overlapping, of distinct slots; those there is no room for are left out
   */
  announce(runs: readonly HotRun[]): void {
    const { keys, pages, slots } = this.descriptor;
    const table = { keys: new Float64Array(keys), pages: new Uint32Array(pages), slots: new Uint32Array(slots) };
    const kept = runs.filter((run) => run.slot + run.pages <= this.capacity);
    for (const [i, run] of kept.entries()) {
      table.keys[i] = run.key;
      table.pages[i] = run.pages;
      table.slots[i] = run.slot;
    }
    Atomics.store(this.#control, hotControl.runs, kept.length);
    this.#state = 'streaming';
    this.#wake();
  }

  /** Bytes of the stream have arrived, of whatever: whoever waits may wait longer. */
  touch(): void {
    this.#arrivedAt = performance.now();
  }

  /**
   * Fills the next slots.
   * @param content - whole pages, verified, no more than there is room for; copied
   */
  append(content: Uint8Array): void {
    this.#content.set(content, this.ready * PAGE_SIZE);
    Atomics.store(this.#control, hotControl.ready, this.ready + content.length / PAGE_SIZE);
    this.#wake();
  }

  /** Nothing more will come: readers that wait are let go. What is there stays. */
  end(): void {
    this.#state = 'ended';
    this.#wake();
  }

  /**
   * Bytes of a device image, which may be on their way. Waits for a bounded time, never fails.
   * @returns the caller's; undefined when they have to be had elsewhere
   */
  async read(device: number, deviceOffset: number, length: number): Promise<Uint8Array | undefined> {
    const bytes = new Uint8Array(length);
    const since = performance.now();
    while (!this.#view.readInto(device, deviceOffset, bytes)) {
      const until = Math.min(this.#hopeUntil(device, deviceOffset, length), since + this.#patience.totalMs);
      const left = until - performance.now();
      if (!(left > 0)) return undefined;
      await this.#change(left);
    }
    return bytes;
  }

  /** Until when it makes sense to wait for these bytes, as things are now. */
  #hopeUntil(device: number, deviceOffset: number, length: number): number {
    if (this.#state === 'opening') return this.#startedAt + this.#patience.indexMs;
    const mayCome = this.#state === 'streaming' && this.#view.declares(device, deviceOffset, length);
    return mayCome ? this.#arrivedAt + this.#patience.stallMs : 0;
  }

  /** Resolves when something new can be read, when nothing more will come, or when the time is over. */
  #change(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(done);
        resolve();
      };
      const timer = setTimeout(done, Math.ceil(milliseconds));
      this.#waiting.add(done);
    });
  }

  #wake(): void {
    this.wants.changed();
    for (const done of this.#waiting) done();
  }
}
