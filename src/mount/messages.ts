import type { ImageViewDescriptor, Miss } from './image-view.ts';

/** To a worker, once: serve this mount until it ends. */
export interface ServeMessage {
  /** The mount's descriptor, or a clone of it. */
  readonly fd: number;
  readonly image: ImageViewDescriptor;
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
