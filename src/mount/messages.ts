import type { FileRange } from './collect-read.ts';
import type { ImageViewDescriptor } from './image-view.ts';

/** A mount, for a thread to serve. */
export interface MountTask {
  /** The mount's descriptor, by which every thread serves it. */
  readonly fd: number;
  readonly image: ImageViewDescriptor;
  /** Of a HotWants, when there are hot pages. */
  readonly wants: SharedArrayBuffer | undefined;
  /** Of a TraceLog. */
  readonly trace: SharedArrayBuffer;
  /** Of ReadCounters. */
  readonly counters: SharedArrayBuffer;
  /** As in Operations. */
  readonly maximumReadahead?: number | undefined;
}

/** What a thread is told. It looks for messages when it is woken. */
export type ToThread =
  | { readonly kind: 'serve'; readonly task: MountTask }
  /** Serve it no longer: another process will. */
  | { readonly kind: 'release'; readonly fd: number }
  | { readonly kind: 'close' };

/** A read that needs chunks which are not in the cache. */
export interface Miss extends FileRange {
  /** FUSE's number of the request. */
  readonly unique: number;
  /** The thread that reads; 0 where it cannot be seen. */
  readonly pid: number;
}

/** Somebody waits for what is not cached. */
export interface MissMessage extends Miss {
  readonly kind: 'miss';
  readonly fd: number;
}

/** What a thread says. */
export type FromThread =
  | MissMessage
  /** Whoever waits for read `unique` was sent a signal. */
  | { readonly kind: 'interrupt'; readonly fd: number; readonly unique: number }
  /** The mount has ended or was released: nothing more comes of it. */
  | { readonly kind: 'ended'; readonly fd: number };
