import type { ByteString } from '../../src/byte-string.ts';
import type { ChunkCache } from '../../src/cache/chunk-cache.ts';
import { type OpenChunks, openChunks } from '../../src/image/open-chunks.ts';
import { type OpenImage, openImage } from '../../src/image/open-image.ts';
import { readFile } from '../../src/image/read-file.ts';
import { resolvePath } from '../../src/image/resolve-path.ts';
import type { ImageSource } from '../../src/oci/image.ts';
import { openSource } from '../../src/transport/open.ts';
import { collect } from './image.ts';

/** A read that fails because its source is wrong may take so long; nothing here is slow. */
const failure = { kind: 'wait', milliseconds: 2000 } as const;

/** An image open in this process, as a mount has it open. */
export interface ImageInProcess {
  readonly image: OpenImage;
  readonly content: OpenChunks;
  /** @param path - of a regular file, one unit a byte */
  read(path: string): Promise<Buffer>;
}

/** Opens an image for as long as `use` takes. */
export async function withImage<Result>(
  reference: string,
  use: (open: ImageInProcess) => Promise<Result>,
  cache?: ChunkCache,
): Promise<Result> {
  const source: ImageSource = openSource(reference, {});
  try {
    const image = await openImage(source, { files: cache?.files });
    const content = openChunks(source, image, { cache, failure });
    try {
      const read = (path: string): Promise<Buffer> => {
        const { inode } = resolvePath(image.bootstrap.erofs, path as ByteString, 'keep');
        return collect(readFile(image.bootstrap, content.chunks, inode.nid, inode.size));
      };
      return await use({ image, content, read });
    } finally {
      content.close();
    }
  } finally {
    await source.close();
  }
}
