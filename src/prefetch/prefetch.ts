import type { Bootstrap } from '../bootstrap/bootstrap.ts';
import type { ChunkStore } from '../bootstrap/chunk-store.ts';
import { type FilePredicted, prefetchChannels } from './channels.ts';
import { FileIndex } from './file-index.ts';
import { BootstrapFiles, type ImageFile } from './image-files.ts';
import { chunksOf, Neighbours } from './neighbours.ts';
import { type Prediction, Predictor, type StartCommand } from './predictor.ts';
import { PrefetchQueue } from './prefetch-queue.ts';
import { Usage, type UsedDevice } from './usage.ts';

/** What is prefetched of, and for whom. All of it stays the caller's. */
export interface PrefetchOptions {
  readonly bootstrap: Bootstrap;
  /** Keeps what it reads, and reads below demand. */
  readonly chunks: ChunkStore;
  /** In the order of the bootstrap's devices. */
  readonly devices: readonly UsedDevice[];
  readonly command: StartCommand;
}

/** A run of a file that a reader waits for. Bytes. */
interface MissedRange {
  readonly nid: number;
  readonly offset: number;
  readonly length: number;
}

/** Files looked at for what they need: one read each. Stops a reader of every file from having all of them looked at. */
const MAXIMUM_LOADED = 1024;

/**
 * Fetches what the start of a container will read before it is asked for, below demand (docs/prefetch.md): what the
 * command needs, and then what goes with the files that were missed all the same.
 */
export class Prefetch {
  readonly #bootstrap: Bootstrap;
  readonly #queue: PrefetchQueue;
  readonly #usage: Usage;
  readonly #devices: readonly UsedDevice[];
  readonly #files: BootstrapFiles;
  readonly #predictor: Predictor;
  readonly #loaded = new Set<number>();
  /** Predictions under way. */
  #predicting = 0;
  #index: Promise<FileIndex | undefined> | undefined;
  #neighbours: Neighbours | undefined;

  private constructor({ bootstrap, chunks, devices, command }: PrefetchOptions) {
    this.#bootstrap = bootstrap;
    this.#devices = devices;
    this.#usage = new Usage(devices);
    const queued = bootstrap.devices.map((device, i) => ({
      chunks: device.chunks,
      lastUsed: devices[i]?.lastUsed ?? new Uint32Array(device.chunks.count),
    }));
    this.#queue = new PrefetchQueue(chunks, queued);
    this.#files = new BootstrapFiles(bootstrap, chunks, this.#queue.signal);
    this.#predictor = new Predictor(this.#files, command, (prediction) => this.#add(prediction));
  }

  /** Returns at once. Nothing that goes wrong in it concerns anybody else: who reads meets the error. */
  static start(options: PrefetchOptions): Prefetch {
    const prefetch = new Prefetch(options);
    void ignoringErrors(() => prefetch.#predict(() => prefetch.#predictor.start()));
    return prefetch;
  }

  /** Learns from a read that was not answered from the cache. Returns at once. */
  missed(range: MissedRange): void {
    if (this.#queue.signal.aborted) return;
    void ignoringErrors(() => this.#follow(range));
  }

  /** Lets go of what is under way. */
  close(): void {
    this.#queue.stop('closed');
  }

  async #follow({ nid, offset, length }: MissedRange): Promise<void> {
    const chunks = chunksOf(this.#bootstrap, nid, offset, length);
    this.#queue.missed(chunks);
    this.#index ??= ignoringErrors(() => FileIndex.build(this.#bootstrap.erofs, this.#queue.signal));
    const index = await this.#index;
    if (index === undefined) return;
    const isNew = !this.#loaded.has(nid);
    if (offset === 0 && isNew && this.#loaded.size < MAXIMUM_LOADED) await this.#load(nid, index);
    this.#neighbours ??= new Neighbours(this.#bootstrap, index, this.#queue, this.#devices);
    this.#neighbours.missed(nid, chunks);
  }

  /** A plugin, or a program that a program starts: what it needs comes next. */
  async #load(nid: number, index: FileIndex): Promise<void> {
    this.#loaded.add(nid);
    const { size, mode, mtime } = this.#bootstrap.erofs.inode(nid);
    const file: ImageFile = { nid, path: index.pathOf(nid), size, mode, mtime };
    await this.#predict(() => this.#predictor.load(file));
  }

  /** What is read for a prediction is of no use after it, and a mount lives long. */
  async #predict(action: () => Promise<void>): Promise<void> {
    this.#predicting++;
    try {
      await action();
    } finally {
      if (--this.#predicting === 0) this.#files.forget();
    }
  }

  #add({ file, offset, length, reason }: Prediction): void {
    if (prefetchChannels.predicted.hasSubscribers) {
      const { path, nid } = file;
      prefetchChannels.predicted.publish({ path, nid, offset, length, reason } satisfies FilePredicted);
    }
    this.#queue.add(chunksOf(this.#bootstrap, file.nid, offset, length), this.#usage);
  }
}

/** A prediction ends where it goes wrong: a broken file, a lost network, a mount that is gone. */
async function ignoringErrors<T>(action: () => Promise<T>): Promise<T | undefined> {
  try {
    return await action();
  } catch {
    return undefined;
  }
}
