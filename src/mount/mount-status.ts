import { type ChunkCopied, cacheChannels } from '../cache/channels.ts';
import { SluiceError } from '../errors.ts';
import type { ReadPriority } from '../fetch/fetch-store.ts';
import type { Traffic } from '../fetch/traffic.ts';
import { digestHex } from '../oci/digest.ts';
import type { Fill, FillState } from './fill.ts';
import type { ImageContent } from './image-content.ts';
import type { Amount, MountState } from './mount-state.ts';
import type { MountedImage } from './mounted-image.ts';

const nothing: Amount = { chunks: 0, bytes: 0 };

/** Collects what is known of a mount, from the moment it is made to its end. */
export class MountStatus {
  readonly #content: ImageContent;
  readonly #mount: Pick<MountedImage, 'reads' | 'waiting'>;
  readonly #fill: Fill;
  readonly #blobs: ReadonlySet<string>;
  /** What other mounts of the image had fetched when this one was made. */
  readonly #before: Traffic;
  #copied = nothing;
  #lastError: MountState['lastError'];
  #last: MountState | undefined;

  /** @param content - of the mount. Neither it nor `fill` is closed here */
  constructor(content: ImageContent, mount: Pick<MountedImage, 'reads' | 'waiting'>, fill: Fill) {
    this.#content = content;
    this.#mount = mount;
    this.#fill = fill;
    this.#blobs = new Set(content.image.bootstrap.devices.map(({ blob }) => digestHex(blob)));
    this.#before = content.chunks.traffic();
    cacheChannels.copied.subscribe(this.#onCopied);
  }

  /** As it is now; once the mount has ended, as it was then. */
  state(): MountState {
    if (this.#last !== undefined) return this.#last;
    const { local, total } = this.#content.local;
    const isLocal = local.chunks === total.chunks;
    const fill = this.#fill.state;
    const { reads = 0, bytes = 0, misses = 0 } = this.#mount.reads?.snapshot() ?? {};
    const waiting = this.#mount.waiting();
    const traffic = this.#content.chunks.traffic();
    const fetched = (by: ReadPriority): Amount => difference(traffic[by], this.#before[by]);
    return {
      laziness: isLocal ? 'local' : lazinessOf[fill.phase],
      why: `${isLocal ? whyLocal(this.#isPinned()) : whyLazy(fill)}${this.#whyStale()}`,
      local,
      total,
      fetched: { demand: fetched('demand'), prefetch: fetched('prefetch'), background: fetched('background') },
      copied: this.#copied,
      bytesPerSecond: traffic.bytesPerSecond,
      reads: { count: reads + misses, bytes, misses },
      waiting: { reads: waiting.reads, since: time(waiting.since) },
      lastError: this.#lastError,
      place: traffic.place,
      credentialsObtained: time(this.#content.source.credentials?.()?.obtainedAt),
    };
  }

  /** A read failed. @param message - with the file's name */
  failed(message: string, error: unknown): void {
    const code = error instanceof SluiceError ? error.code : undefined;
    this.#lastError = { code, message, at: new Date().toISOString() };
  }

  /** While the content is still open. */
  close(): void {
    this.#last = this.state();
    cacheChannels.copied.unsubscribe(this.#onCopied);
  }

  #whyStale(): string {
    const { resolvedFrom } = this.#content.image;
    return resolvedFrom === undefined
      ? ''
      : `; the registry did not answer, so the tag means what it did at ${resolvedFrom.at}`;
  }

  #isPinned(): boolean {
    const { image, cache } = this.#content;
    const root = digestHex(image.root);
    try {
      return cache.pins().some((pin) => pin.root === root);
    } catch {
      // A disk that cannot be read: there is no saying that it is.
      return false;
    }
  }

  readonly #onCopied = (message: unknown): void => {
    const { blob, bytes } = message as ChunkCopied;
    if (!this.#blobs.has(blob)) return;
    this.#copied = { chunks: this.#copied.chunks + 1, bytes: this.#copied.bytes + bytes };
  };
}

const lazinessOf: Readonly<Record<FillState['phase'], MountState['laziness']>> = {
  idle: 'lazy',
  filling: 'filling',
  retrying: 'filling',
  paused: 'paused',
  full: 'paused',
  failed: 'lazy',
  done: 'lazy',
};

function difference(a: Amount, b: Amount): Amount {
  return { chunks: a.chunks - b.chunks, bytes: a.bytes - b.bytes };
}

function time(milliseconds: number | undefined): string | undefined {
  return milliseconds === undefined ? undefined : new Date(milliseconds).toISOString();
}

function whyLocal(isPinned: boolean): string {
  return isPinned
    ? 'every chunk is in the cache, and pinned'
    : 'every chunk is in the cache (unpinned: eviction may remove some)';
}

function whyLazy({ phase, kind, bytesPerSecond, error }: FillState): string {
  const reason = error instanceof Error ? error.message : String(error);
  switch (phase) {
    case 'idle':
      return 'mounted lazily: what is read is fetched';
    case 'filling': {
      const rate = bytesPerSecond === undefined ? '' : ` at ${(bytesPerSecond / 1e6).toFixed(1)} MB/s at most`;
      return kind === 'eager' ? `everything is being fetched${rate}` : `filling in the background${rate}`;
    }
    case 'retrying':
      return `filling waits before it tries again: ${reason}`;
    case 'paused':
      return 'filling is paused';
    case 'full':
      return 'filling waits: the cache has no room for the rest';
    case 'failed':
      return `filling failed: ${reason}`;
    case 'done':
      return 'was filled, and chunks have been evicted since';
  }
}
