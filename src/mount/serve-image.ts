import { displayText } from '../byte-string.ts';
import type { ChunkCache } from '../cache/chunk-cache.ts';
import { SluiceError } from '../errors.ts';
import type { UnmountOptions } from '../fuse/unmount.ts';
import { openChunks } from '../image/open-chunks.ts';
import { openImage } from '../image/open-image.ts';
import type { ImageSource, Platform } from '../oci/image.ts';
import { missChannels, type ReadFailed } from './miss-channels.ts';
import { ImageMount, MountWorkers } from './mount-image.ts';
import { pathOf } from './path-of.ts';

export interface ServeImageOptions {
  /** Closed when the mount has ended. */
  readonly source: ImageSource;
  readonly mountPoint: string;
  /** Stays the caller's: other mounts may use it. */
  readonly cache: ChunkCache;
  readonly platform?: Platform | undefined;
  readonly workers?: number | undefined;
  /** Told of every failed read, in words: image, file and reason. */
  readonly onFailure: (message: string) => void;
  readonly signal?: AbortSignal | undefined;
}

/** A mounted image and everything it holds on to. */
export interface ServedImage {
  readonly mountPoint: string;
  /** Settles when the mount has ended and all it used is closed. */
  readonly ended: Promise<void>;
  unmount(options?: UnmountOptions): Promise<void>;
}

/**
 * Mounts an image from wherever it is; returns when the mount answers. This process may serve other mounts besides.
 * @throws what openImage() and ImageMount.start() throw; nothing is left behind then
 */
export async function serveImage(options: ServeImageOptions): Promise<ServedImage> {
  const { source, mountPoint, cache, onFailure } = options;
  const workers = new MountWorkers(options.workers);
  try {
    const image = await openImage(source, { files: cache.files, platform: options.platform, signal: options.signal });
    const content = openChunks(source, image, cache);
    const { bootstrap, reference } = image;
    const mount = await ImageMount.start({ bootstrap, mountPoint, source: reference, ...content }, workers);
    const report = (message: unknown): void => {
      const failure = message as ReadFailed;
      if (failure.mount === mount)
        onFailure(`${reference}: ${failureText(failure, pathOf(bootstrap.erofs, failure.nid))}`);
    };
    missChannels.failed.subscribe(report);
    const ended = mount.ended.finally(async () => {
      missChannels.failed.unsubscribe(report);
      content.close();
      await source.close();
    });
    return { mountPoint: mount.mountPoint, ended, unmount: (how) => mount.unmount(how) };
  } catch (error) {
    await workers.terminate();
    throw error;
  }
}

function failureText({ offset, error }: ReadFailed, path: ReturnType<typeof pathOf>): string {
  const file = path === undefined ? 'a file' : `"${displayText(path)}"`;
  const reason = error instanceof SluiceError ? `${error.message} (${error.code})` : String(error);
  return `Cannot read ${file} at ${offset}: ${reason}`;
}
