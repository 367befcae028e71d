import { setTimeout as sleep } from 'node:timers/promises';
import type { Bootstrap } from '../bootstrap/bootstrap.ts';
import type { FileStore } from '../cache/file-store.ts';
import { HotPages, type HotPatience } from '../hot/hot-pages.ts';
import { type HotTarget, streamHot } from '../hot/stream.ts';
import { findProfiles } from '../image/find-profiles.ts';
import type { HotBlob } from '../image/profile-manifest.ts';
import type { OnManifest } from './image-content.ts';

/** How long a start waits for its profile before it goes on as if it had none. */
export interface StartPatience extends HotPatience {
  /** For the list of referrers, from the bootstrap on: it is asked for with that, and is smaller. Milliseconds. */
  readonly listMs: number;
}

const defaultListMs = 1000;

export interface HotStartOptions {
  readonly files: FileStore;
  /** Name of the profile. */
  readonly profile: string;
  /** Default: as long as it may take on a network that works. */
  readonly patience?: StartPatience | undefined;
  /** Told, once, when the image has no such profile: the names of those it has. */
  readonly onMissing?: ((reference: string, names: readonly string[]) => void) | undefined;
}

/**
 * The hot part of a start: the profile is looked for as soon as the manifest is known, its hot blob asked for as soon as
 * the profile is, and the pages go where the mount can see them as soon as there is a bootstrap to verify them by. None
 * of it can fail a mount.
 */
export class HotStart {
  readonly #options: HotStartOptions;
  readonly #abort = new AbortController();
  readonly #target: Promise<HotTarget>;
  #begin: (target: HotTarget) => void = () => undefined;
  #found: Promise<HotBlob | undefined> = Promise.resolve(undefined);

  constructor(options: HotStartOptions) {
    this.#options = options;
    this.#target = new Promise((resolve, reject) => {
      this.#begin = resolve;
      this.#abort.signal.addEventListener('abort', () => reject(this.#abort.signal.reason), { once: true });
    });
    // Where there is no hot blob, nobody waits for it.
    this.#target.catch(() => undefined);
  }

  /** For openContent(): begins. */
  readonly onManifest: OnManifest = (manifest, documents, source) => {
    this.#found = this.#find(manifest, documents, source);
  };

  /** @returns what the mount reads from; undefined when the image has no such profile, or none in time */
  async pages(bootstrap: Bootstrap): Promise<HotPages | undefined> {
    const { signal } = this.#abort;
    const { patience } = this.#options;
    const tooLate = sleep(patience?.listMs ?? defaultListMs, undefined, { ref: false, signal }).catch(() => undefined);
    const hot = await Promise.race([this.#found, tooLate]);
    if (hot === undefined) {
      this.close();
      return undefined;
    }
    const pages = new HotPages(hot.pages, patience);
    const devices = bootstrap.devices.map(({ chunks, verityDigest }) => ({ size: chunks.deviceSize, verityDigest }));
    this.#begin({ pages, devices });
    return pages;
  }

  /** Ends what is on its way. */
  close(): void {
    this.#abort.abort();
  }

  async #find(...[manifest, documents, source]: Parameters<OnManifest>): Promise<HotBlob | undefined> {
    const { files, profile, onMissing } = this.#options;
    const { signal } = this.#abort;
    try {
      const profiles = await findProfiles(documents, manifest, signal);
      const found = profiles.find(({ name }) => name === profile);
      if (found === undefined)
        onMissing?.(
          source.reference,
          profiles.map(({ name }) => name),
        );
      const hot = found?.hot;
      if (hot !== undefined && !signal.aborted) {
        void streamHot({ source, descriptor: hot.descriptor, files, signal }, this.#target);
      }
      return hot;
    } catch {
      return undefined;
    }
  }
}
