import type { FileRange } from './collect-read.ts';
import type { ImageViewDescriptor } from './image-view.ts';

/** To a worker, once: serve this mount until it ends. */
export interface ServeMessage {
  /** The mount's descriptor, or a clone of it. */
  readonly fd: number;
  readonly image: ImageViewDescriptor;
  /** Of a HotWants, when there are hot pages. */
  readonly wants: SharedArrayBuffer | undefined;
  /** Of a TraceLog. */
  readonly trace: SharedArrayBuffer;
  /** As in Operations. */
  readonly maximumReadahead?: number | undefined;
}

/** A read that needs chunks which are not in the cache. */
export interface Miss extends FileRange {
  /** FUSE's number of the request. */
  readonly unique: number;
  /** The thread that reads; 0 where it cannot be seen. */
  readonly pid: number;
}

/** From a worker: somebody waits for what is not cached. The answer goes to the worker's own descriptor. */
export interface MissMessage extends Miss {
  readonly kind: 'miss';
  readonly fd: number;
}

/** From a worker: whoever waits for read `unique` was sent a signal. */
export interface InterruptMessage {
  readonly kind: 'interrupt';
  readonly unique: number;
}

export type WorkerMessage = MissMessage | InterruptMessage;
