import type { FileStore } from '../cache/file-store.ts';
import { hash } from '../digest/hash.ts';
import { describeBytes, writeManifest } from '../oci/canonical-json.ts';
import { type Digest, digestHex } from '../oci/digest.ts';
import type { BlobSource, Descriptor, ImageSource, RawManifest } from '../oci/image.ts';
import { type ImageIndex, parseIndex, sniffMediaType } from '../oci/manifest.ts';
import { mediaType } from '../oci/media-types.ts';
import { readDocument } from '../oci/read-document.ts';

/** A list of referrers this old is asked for again, beside the start that uses it (ADR-0008). */
const listLifeMs = 24 * 3600 * 1000;

/** On a kept list: when the registry gave it. */
const askedAnnotation = 'dev.sluice.asked';

/**
 * Keeps the manifests and the config of an image, and what refers to it, so that opening it again by digest needs no
 * network. A tag may name another image by now, so it is asked for every time.
 */
export class KeptDocuments implements BlobSource, Pick<ImageSource, 'resolve' | 'readManifest' | 'referrers'> {
  readonly #source: ImageSource;
  readonly #files: FileStore;
  /** Of the reference, when it has one. */
  readonly #digest: Digest | undefined;

  /** @param source - stays the caller's */
  constructor(source: ImageSource, files: FileStore) {
    this.#source = source;
    this.#files = files;
    this.#digest = /@(sha256:[0-9a-f]{64})$/.exec(source.reference)?.[1] as Digest | undefined;
  }

  async resolve(signal?: AbortSignal): Promise<RawManifest> {
    const digest = this.#digest;
    const bytes = digest === undefined ? undefined : await this.#files.get('manifest', digestHex(digest));
    if (bytes === undefined) return this.#keep(await this.#source.resolve(signal));
    return { descriptor: describeBytes(sniffMediaType(bytes, `manifest ${digest}`), bytes), bytes };
  }

  async readManifest(descriptor: Descriptor, signal?: AbortSignal): Promise<RawManifest> {
    const bytes = await this.#files.get('manifest', digestHex(descriptor.digest));
    if (bytes !== undefined) return { descriptor, bytes };
    return this.#keep(await this.#source.readManifest(descriptor, signal));
  }

  /**
   * Unlike a manifest, a list changes. The kept one is good enough for a start, which would otherwise wait for it; when
   * it is old, the next start gets a new one. However the image was named: the list is of the manifest.
   */
  async referrers(digest: Digest, artifactType?: string, signal?: AbortSignal): Promise<readonly Descriptor[]> {
    const kept = await this.#keptList(digest, artifactType);
    if (kept === undefined) return this.askReferrers(digest, artifactType, signal);
    const asked = Date.parse(kept.annotations[askedAnnotation] ?? '');
    const isFresh = Math.abs(Date.now() - asked) < listLifeMs;
    // Not of this start, which may be over sooner: closing the source ends it.
    if (!isFresh) void this.askReferrers(digest, artifactType).catch(() => undefined);
    return kept.manifests;
  }

  /** Asks the source in any case, and keeps what it says. */
  async askReferrers(digest: Digest, artifactType?: string, signal?: AbortSignal): Promise<readonly Descriptor[]> {
    const manifests = await this.#source.referrers(digest, artifactType, signal);
    const annotations = { [askedAnnotation]: new Date().toISOString() };
    const { bytes } = writeManifest(mediaType.ociIndex, { manifests, annotations });
    await this.#files.put('referrers', listName(digest, artifactType), bytes);
    return manifests;
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

  async #keptList(digest: Digest, artifactType: string | undefined): Promise<ImageIndex | undefined> {
    const bytes = await this.#files.get('referrers', listName(digest, artifactType));
    try {
      return bytes && parseIndex({ descriptor: describeBytes(mediaType.ociIndex, bytes), bytes });
    } catch {
      // Damaged on disk: it is asked for again and replaced.
      return undefined;
    }
  }

  async #keep(manifest: RawManifest): Promise<RawManifest> {
    await this.#files.put('manifest', digestHex(manifest.descriptor.digest), manifest.bytes);
    return manifest;
  }
}

function listName(digest: Digest, artifactType = ''): string {
  return Buffer.from(hash('sha256', Buffer.from(`${digest} ${artifactType}`))).toString('hex');
}
