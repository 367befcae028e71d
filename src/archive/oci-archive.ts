import type { ImageSource, LocalBlob } from '../oci/image.ts';
import { type LayoutFiles, LayoutImage } from '../oci/layout-image.ts';
import type { LayoutReference } from '../oci/reference.ts';
import { readRun } from './read-run.ts';
import { TarIndex } from './tar-index.ts';

/** The files of a layout within a tar, which is indexed when the first of them is asked for. */
class ArchivedLayout implements LayoutFiles {
  readonly #file: string;
  #index: Promise<TarIndex> | undefined;

  constructor(file: string) {
    this.#file = file;
  }

  async find(name: string): Promise<LocalBlob | undefined> {
    this.#index ??= TarIndex.read(this.#file);
    return (await this.#index).find(name);
  }

  read(run: LocalBlob, signal?: AbortSignal): AsyncIterable<Uint8Array> {
    return readRun(run, signal);
  }
}

/** Opens an image in a tar of an OCI layout, without unpacking it; nothing is read before the first call. */
export function openOciArchive(reference: LayoutReference): ImageSource {
  return new LayoutImage(reference, new ArchivedLayout(reference.path));
}
