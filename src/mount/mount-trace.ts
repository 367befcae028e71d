import type { Bootstrap } from '../bootstrap/bootstrap.ts';
import { walkNames } from '../erofs/walk-names.ts';
import { invalidateContents } from '../fuse/invalidate.ts';
import type { FuseSession } from '../fuse/session.ts';
import type { HotWants } from '../hot/hot-wants.ts';
import { type RecordedReads, TraceLog } from './trace-log.ts';

const DT_REG = 8;

/** What a mount recorded. */
export interface Recording extends RecordedReads {
  /** Whether each read was of one page, as it is when the kernel does not read ahead. */
  readonly pageExact: boolean;
}

/** Records which pages of a mount are read. What the page cache answers, nobody sees. */
export class MountTrace {
  /** For the workers. */
  readonly log: TraceLog = new TraceLog();
  readonly #session: FuseSession;
  readonly #bootstrap: Bootstrap;
  readonly #wants: HotWants | undefined;
  #isClosed = false;
  /** Settles when no call to the kernel is under way. */
  #dropped: Promise<unknown> = Promise.resolve();

  /** @param wants - of the pages that are put into the page cache unasked */
  constructor(session: FuseSession, bootstrap: Bootstrap, wants: HotWants | undefined) {
    this.#session = session;
    this.#bootstrap = bootstrap;
    this.#wants = wants;
  }

  get isActive(): boolean {
    return this.log.isActive;
  }

  /**
   * Begins a recording; what one that is under way has seen is lost. Until the end the kernel does not read ahead,
   * except in files that are open already; and from here on, no pages are put into its cache unasked.
   * @returns false when this process may not keep the kernel from it
   */
  start(): boolean {
    this.#wants?.close();
    const isAllowed = this.#session.readahead.suspend();
    this.log.start();
    return isAllowed;
  }

  /** Drops what the page cache has of the mount, so that it will be seen. Programs that run go on. */
  async dropPages(): Promise<void> {
    const files = new Set<number>();
    for (const { nid, type } of walkNames(this.#bootstrap.erofs)) if (type === DT_REG) files.add(nid);
    if (this.#isClosed) return;
    this.#dropped = Promise.all([this.#dropped, invalidateContents(this.#session.fd, Float64Array.from(files))]);
    await this.#dropped;
  }

  stop(): Recording {
    const recorded = this.log.stop();
    this.#session.readahead.resume();
    return { ...recorded, pageExact: recorded.reads.every(({ pages }) => pages === 1) };
  }

  /** The mount has ended: when this returns, nothing uses its descriptor. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#dropped.catch(() => undefined);
  }
}
