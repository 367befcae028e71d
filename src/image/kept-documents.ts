import type { FileStore } from '../cache/file-store.ts';
import { describeBytes } from '../oci/canonical-json.ts';
import { type Digest, digestHex } from '../oci/digest.ts';
import type { BlobSource, Descriptor, ImageSource, RawManifest } from '../oci/image.ts';
import { sniffMediaType } from '../oci/manifest.ts';
import { readDocument } from '../oci/read-document.ts';

/**
 * Keeps the manifests and the config of an image, so that opening it again by digest needs no network. A tag may name
 * another image by now, so it is asked for every time.
 */
export class KeptDocuments implements BlobSource, Pick<ImageSource, 'resolve' | 'readManifest'> {
  readonly #source: ImageSource;
  readonly #files: FileStore;

  /** @param source - stays the caller's */
  constructor(source: ImageSource, files: FileStore) {
    this.#source = source;
    this.#files = files;
  }

  async resolve(signal?: AbortSignal): Promise<RawManifest> {
    const [, digest] = /@(sha256:[0-9a-f]{64})$/.exec(this.#source.reference) ?? [];
    const bytes = digest === undefined ? undefined : await this.#files.get('manifest', digestHex(digest as Digest));
    if (bytes === undefined) return this.#keep(await this.#source.resolve(signal));
    return { descriptor: describeBytes(sniffMediaType(bytes, `manifest ${digest}`), bytes), bytes };
  }

  async readManifest(descriptor: Descriptor, signal?: AbortSignal): Promise<RawManifest> {
    const bytes = await this.#files.get('manifest', digestHex(descriptor.digest));
    if (bytes !== undefined) return { descriptor, bytes };
    return this.#keep(await this.#source.readManifest(descriptor, signal));
  }

  /** @param descriptor - of the config: nothing else is read by this face */
  async *readBlob(descriptor: Descriptor, _range: undefined, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
    const hex = digestHex(descriptor.digest);
    const kept = await this.#files.get('config', hex);
    if (kept !== undefined) return yield kept;
    const bytes = await readDocument(this.#source, descriptor, signal);
    await this.#files.put('config', hex, bytes);
    yield bytes;
  }

  async #keep(manifest: RawManifest): Promise<RawManifest> {
    await this.#files.put('manifest', digestHex(manifest.descriptor.digest), manifest.bytes);
    return manifest;
  }
}
