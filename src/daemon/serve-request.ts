import type { ChunkCache } from '../cache/chunk-cache.ts';
import type { MountRequest } from '../control/protocol.ts';
import type { FetchScheduler } from '../fetch/scheduler.ts';
import type { ContentPool, ImageContent, OnManifest } from '../mount/image-content.ts';
import type { MountWorkers } from '../mount/mount-workers.ts';
import { type ServedImage, serveImage } from '../mount/serve-image.ts';
import { parseReference } from '../oci/reference.ts';
import { openSource } from '../transport/open.ts';

/** What the mounts of a process have in common. All of it stays the caller's. */
export interface SharedParts {
  readonly cache: ChunkCache;
  readonly workers: MountWorkers;
  readonly contents: ContentPool;
  readonly scheduler: FetchScheduler;
  /** Ends what is being opened. */
  readonly signal?: AbortSignal | undefined;
  /** Told of every failed read, in words. */
  readonly onFailure: (message: string) => void;
}

/**
 * Opens the image of a request; mounts of the same image share it when they reach it the same way.
 * @throws what openContent() throws
 */
export function openRequest(
  { image, platform, failure, registry }: MountRequest,
  { cache, contents, scheduler, signal }: SharedParts,
  onManifest?: OnManifest,
): Promise<ImageContent> {
  // The same repository or folder, whichever of its images.
  const place = { ...parseReference(image), tag: undefined, digest: undefined };
  const key = JSON.stringify([place, failure, registry]);
  const source = openSource(image, registry);
  return contents.open(key, { source, cache, platform, failure, scheduler, signal, onManifest });
}

/**
 * Mounts what a request asks for.
 * @param adopt - the descriptor of the mount, when it is there already; taken over
 * @throws what serveImage() throws
 */
export async function serveRequest(
  request: MountRequest,
  parts: SharedParts,
  adopt?: { readonly fd: number },
): Promise<ServedImage> {
  const { driver, mountPoint, profile, prefetch, trace, fill } = request;
  const files = parts.cache.files.hold();
  try {
    const served = await serveImage({
      open: (onManifest) => openRequest(request, parts, onManifest),
      mountPoint,
      files,
      server: driver === 'libfuse' ? driver : parts.workers,
      adopt,
      // A start is over by the time a mount changes hands.
      ...(adopt === undefined ? { profile, prefetch, trace } : { profile: false, prefetch: false }),
      fill,
      onFailure: parts.onFailure,
    });
    const release = (): void => files.release();
    served.ended.then(release, release);
    return served;
  } catch (error) {
    files.release();
    throw error;
  }
}
