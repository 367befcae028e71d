import { fetchChannels, type RangeRequested } from './channels.ts';
import type { BatchObserver, BatchSource, ChunkBatch, ReadPriority } from './fetch-store.ts';
import type { Link, Transfer } from './link.ts';
import { StallWatch } from './stall-watch.ts';

/** One of the places that the blobs of an image can be read from. */
export interface BatchPlace {
  readonly link: Link;
  readonly source: BatchSource;
}

/** A place that was given up after so long without a byte has failed, even if its readers were the impatient ones. */
const SILENT_MS = 1_000;

/** A range request under way: measured, watched, reported. */
export class RangeRequest {
  /** Compressed bytes asked for. */
  readonly bytes: number;
  readonly #place: BatchPlace;
  readonly #transfer: Transfer;
  readonly #now: () => number;
  readonly #controller = new AbortController();

  constructor(place: BatchPlace, bytes: number, priority: ReadPriority, now: () => number) {
    this.bytes = bytes;
    this.#place = place;
    this.#transfer = place.link.begin(bytes, priority);
    this.#now = now;
  }

  get priority(): ReadPriority {
    return this.#transfer.priority;
  }

  /** Somebody more urgent waits for a part of it. */
  raise(priority: ReadPriority): void {
    this.#transfer.priority = priority;
  }

  abort(reason?: unknown): void {
    this.#controller.abort(reason);
  }

  /**
   * Does it. Once.
   * @param hasAlternative - whether the chunks can be asked for elsewhere, should the place be silent
   * @returns what went wrong as a whole; undefined when all chunks were delivered, or nobody wanted them any more
   */
  async run(batch: ChunkBatch, hasAlternative: boolean, observer: BatchObserver): Promise<unknown> {
    const { link, source } = this.#place;
    const watch = new StallWatch(this.#controller, link.name, hasAlternative);
    const start = this.#now();
    let error: unknown;
    let isSilent = true;
    const received = (bytes: number): void => {
      isSilent = false;
      watch.renew();
      this.#transfer.received(bytes);
      observer.received(bytes);
    };
    const { signal } = this.#controller;
    try {
      await source.readBatch(batch, { ...observer, received }, signal);
    } catch (thrown) {
      error = signal.aborted ? signal.reason : thrown;
    } finally {
      watch.end();
      this.#transfer.end();
    }
    const durationMs = this.#now() - start;
    if (isSilent && durationMs > SILENT_MS) link.health.failed(this.#now());
    if (fetchChannels.request.hasSubscribers) {
      const { device, chunks } = batch;
      const { bytes, priority } = this;
      const request = { device, bytes, chunks: chunks.length, priority, place: link.name, durationMs, error };
      fetchChannels.request.publish(request satisfies RangeRequested);
    }
    return error;
  }
}
