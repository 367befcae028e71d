import { mkdir, readFile as readMounted, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Bootstrap } from '../bootstrap/bootstrap.ts';
import type { ChunkStore } from '../bootstrap/chunk-store.ts';
import { byteStringFromText } from '../byte-string.ts';
import { ChunkCache } from '../cache/chunk-cache.ts';
import { FuseError } from '../errors.ts';
import { type OpenChunks, openChunks } from '../image/open-chunks.ts';
import { openImage } from '../image/open-image.ts';
import { readFile } from '../image/read-file.ts';
import { resolvePath } from '../image/resolve-path.ts';
import { openContent } from '../mount/image-content.ts';
import { MountWorkers } from '../mount/mount-workers.ts';
import { serveImage } from '../mount/serve-image.ts';
import type { ImageSource } from '../oci/image.ts';

export interface LazyImageOptions {
  /** Opens the image; each is closed by whoever called. */
  readonly open: () => ImageSource;
  /** A new folder for the cache and the root file system, the caller's to remove once the image is closed. */
  readonly folder: string;
  /** Absolute paths of what is going to be run, for where nothing can be mounted. */
  readonly needed: readonly string[];
  readonly signal: AbortSignal;
}

/** A converted image whose content is fetched as it is read. */
export interface LazyImage {
  /** Where programs can be run from. */
  readonly root: string;
  /** Why it is not mounted; `undefined` when it is. */
  readonly notMounted: string | undefined;
  /** A file's content, verified. Fails with EIO, or with the reader's own error, when it cannot be. */
  read(file: string): Promise<Uint8Array>;
  close(): Promise<void>;
}

/** Room for all of the image: nothing is evicted. */
const cacheBytes = 2 ** 30;
/** A read that fails for the demo is not worth waiting for. */
const failure = { kind: 'wait', milliseconds: 2000 } as const;

/** Mounts the image with an empty cache; where that is not possible, copies `needed` out through the verified reader. */
export async function openLazily(options: LazyImageOptions): Promise<LazyImage> {
  const root = path.join(options.folder, 'rootfs');
  await mkdir(root, { recursive: true });
  const cache = ChunkCache.open(path.join(options.folder, 'cache'), { maximumBytes: cacheBytes });
  try {
    return await mount(options, cache, root);
  } catch (error) {
    if (error instanceof FuseError) return await openReader(options, cache, root, error.message);
    cache.close();
    throw error;
  }
}

async function mount({ open, signal }: LazyImageOptions, cache: ChunkCache, root: string): Promise<LazyImage> {
  const server = new MountWorkers();
  const served = await serveImage({
    open: (onManifest) => openContent({ source: open(), cache, failure, signal, onManifest }),
    mountPoint: root,
    files: cache.files,
    server,
    onFailure: () => undefined,
  }).catch(async (error) => {
    await server.close();
    throw error;
  });
  // Awaited by close(): until then it must not count as unhandled.
  served.ended.catch(() => undefined);
  return {
    root,
    notMounted: undefined,
    read: (file) => readMounted(path.join(root, file)),
    close: async () => {
      await served.unmount({ lazy: true });
      await served.ended;
      await server.close();
      cache.close();
    },
  };
}

/** Closes the cache, also when it fails. */
async function openReader(
  { open, needed, signal }: LazyImageOptions,
  cache: ChunkCache,
  root: string,
  notMounted: string,
): Promise<LazyImage> {
  const source = open();
  let content: OpenChunks | undefined;
  const close = async (): Promise<void> => {
    content?.close();
    cache.close();
    await source.close();
  };
  try {
    const image = await openImage(source, { files: cache.files, signal });
    const opened = openChunks(source, image, { cache, failure });
    content = opened;
    const read = (file: string): Promise<Uint8Array> => readWhole(image.bootstrap, opened.chunks, file, signal);
    for (const file of needed) {
      const copy = path.join(root, file);
      await mkdir(path.dirname(copy), { recursive: true });
      await writeFile(copy, await read(file), { mode: 0o755 });
    }
    return { root, notMounted, read, close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function readWhole(
  bootstrap: Bootstrap,
  chunks: ChunkStore,
  file: string,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const { inode } = resolvePath(bootstrap.erofs, byteStringFromText(file), 'follow');
  const parts: Uint8Array[] = [];
  // Each piece is lent until the next.
  for await (const part of readFile(bootstrap, chunks, inode.nid, inode.size, signal))
    parts.push(Uint8Array.from(part));
  return Buffer.concat(parts);
}
