import type { ChunkCache } from '../cache/chunk-cache.ts';
import type { FailurePolicy } from '../fetch/failure-policy.ts';
import type { FetchScheduler } from '../fetch/scheduler.ts';
import { type OpenChunks, openChunks } from '../image/open-chunks.ts';
import { type OpenImage, openResolved, type ResolvedImage, resolveImage } from '../image/open-image.ts';
import type { Digest } from '../oci/digest.ts';
import type { ImageSource, Platform } from '../oci/image.ts';
import { LocalContent } from './local-content.ts';

/** What is told of an image as soon as its manifest is known, while the rest is on its way. */
export type OnManifest = (manifest: Digest, documents: Pick<ImageSource, 'referrers'>, source: ImageSource) => void;

export interface ContentOptions {
  /** Closed when the content is, or cannot be opened. */
  readonly source: ImageSource;
  /** Stays the caller's. */
  readonly cache: ChunkCache;
  readonly platform?: Platform | undefined;
  /** As for openChunks(). */
  readonly failure?: FailurePolicy | undefined;
  /** As for openChunks(). */
  readonly scheduler?: FetchScheduler | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onManifest?: OnManifest | undefined;
}

/** An open image with all that its mounts share: metadata, chunks, and the way to the registry. */
export interface ImageContent {
  readonly image: OpenImage;
  readonly source: ImageSource;
  readonly cache: ChunkCache;
  readonly chunks: OpenChunks;
  /** How much of it is in the cache. */
  readonly local: LocalContent;
  /** Once by each who opened it; the last one closes the source, too. */
  close(): Promise<void>;
}

/** @throws what openImage() throws; nothing is left behind then */
export async function openContent(options: ContentOptions): Promise<ImageContent> {
  const { source } = options;
  try {
    return await openResolvedContent(await resolveImage(source, resolveOptions(options)), options);
  } catch (error) {
    await source.close();
    throw error;
  }
}

/**
 * The contents that several mounts of one process share: one bootstrap, one set of open devices, one fetch of a chunk,
 * however many mount the image.
 */
export class ContentPool {
  readonly #shared = new Map<string, { readonly content: Promise<ImageContent>; users: number }>();

  /**
   * Opens an image, or finds it open. A tag is resolved each time: it may name another image by now.
   * @param key - whatever else has to be the same for two mounts to share: how its registry is reached, what is done
   *   about failures
   * @throws what openContent() throws
   */
  async open(key: string, options: ContentOptions): Promise<ImageContent> {
    const { source } = options;
    try {
      const resolved = await resolveImage(source, resolveOptions(options));
      return await this.#share(`${resolved.raw.descriptor.digest} ${key}`, resolved, options);
    } catch (error) {
      await source.close();
      throw error;
    }
  }

  async #share(key: string, resolved: ResolvedImage, options: ContentOptions): Promise<ImageContent> {
    const { source, onManifest } = options;
    const known = this.#shared.get(key);
    if (known !== undefined) {
      known.users++;
      try {
        const content = await known.content;
        onManifest?.(content.image.raw.descriptor.digest, content.source, content.source);
        await source.close();
        return { ...content, close: () => this.#leave(key) };
      } catch {
        // Whoever opened it failed, and has said so. This one may have better luck.
        known.users--;
      }
    }
    const content = openResolvedContent(resolved, options);
    this.#shared.set(key, { content, users: 1 });
    content.catch(() => this.#shared.delete(key));
    return { ...(await content), close: () => this.#leave(key) };
  }

  async #leave(key: string): Promise<void> {
    const shared = this.#shared.get(key);
    if (shared === undefined || --shared.users > 0) return;
    this.#shared.delete(key);
    await (await shared.content).close();
  }
}

function resolveOptions({ cache, platform, signal, failure }: ContentOptions) {
  return { files: cache.files, platform, signal, offline: failure?.kind === 'offline' };
}

async function openResolvedContent(resolved: ResolvedImage, options: ContentOptions): Promise<ImageContent> {
  const { source, cache, failure, scheduler, onManifest } = options;
  const image = await openResolved(source, resolved, {
    ...resolveOptions(options),
    onManifest: (manifest, documents) => onManifest?.(manifest, documents, source),
  });
  const chunks = openChunks(source, image, { cache, failure, scheduler });
  const close = async (): Promise<void> => {
    chunks.close();
    await source.close();
  };
  return { image, source, cache, chunks, local: new LocalContent(chunks.devices), close };
}
