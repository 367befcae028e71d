import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import path from 'node:path';
import type { ImageSource, LocalBlob } from '../oci/image.ts';
import { type LayoutFiles, LayoutImage } from '../oci/layout-image.ts';
import type { LayoutReference } from '../oci/reference.ts';

/** Large enough that a 1 GB layer costs a thousand reads. */
const readBytes = 1024 * 1024;

class LayoutFolder implements LayoutFiles {
  readonly #root: string;

  constructor(root: string) {
    this.#root = path.resolve(root);
  }

  async find(name: string): Promise<LocalBlob | undefined> {
    const file = path.join(this.#root, name);
    const found = await stat(file).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
      throw error;
    });
    return found?.isFile() ? { path: file, offset: 0, length: found.size } : undefined;
  }

  read(run: LocalBlob, signal?: AbortSignal): AsyncIterable<Uint8Array> {
    return createReadStream(run.path, {
      start: run.offset,
      end: run.offset + run.length - 1,
      highWaterMark: readBytes,
      ...(signal ? { signal } : {}),
    });
  }
}

/** Opens an image in an OCI layout folder; nothing is read before the first call. */
export function openLayoutImage(reference: LayoutReference): ImageSource {
  return new LayoutImage(reference, new LayoutFolder(reference.path));
}
