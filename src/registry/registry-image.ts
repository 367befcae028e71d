import type { Digest } from '../oci/digest.ts';
import type { ByteRange, Descriptor, ImageSource, RawManifest } from '../oci/image.ts';
import { formatReference, type RegistryReference } from '../oci/reference.ts';
import { BlobReader } from './blob-reader.ts';
import { ManifestStore } from './manifests.ts';
import { RegistryClient } from './registry-client.ts';
import type { RegistryOptions } from './registry-options.ts';

/** What follows the manifest at once: the bootstrap, and both ways to ask what refers to it. */
const requestsAtOnce = 3;

class RegistryImage implements ImageSource {
  readonly reference: string;
  readonly #name: string;
  readonly #client: RegistryClient;
  readonly #manifests: ManifestStore;
  readonly #blobs: BlobReader;

  constructor(reference: RegistryReference, options: RegistryOptions) {
    this.reference = formatReference(reference);
    this.#name = reference.digest ?? reference.tag ?? 'latest';
    this.#client = new RegistryClient(reference, options);
    this.#manifests = new ManifestStore(this.#client, reference.repository, 'pull');
    this.#blobs = new BlobReader(this.#client, reference.repository);
  }

  resolve(signal?: AbortSignal): Promise<RawManifest> {
    this.#client.dial(requestsAtOnce);
    return this.#manifests.get(this.#name, undefined, signal);
  }

  readManifest(descriptor: Descriptor, signal?: AbortSignal): Promise<RawManifest> {
    return this.#manifests.get(descriptor.digest, descriptor.mediaType, signal);
  }

  referrers(digest: Digest, artifactType?: string, signal?: AbortSignal): Promise<readonly Descriptor[]> {
    return this.#manifests.referrers(digest, artifactType, signal);
  }

  readBlob(descriptor: Descriptor, range?: ByteRange, signal?: AbortSignal): AsyncIterable<Uint8Array> {
    return this.#blobs.read(descriptor, range, signal);
  }

  async localBlob(): Promise<undefined> {
    return undefined;
  }

  async close(): Promise<void> {
    await this.#client.close();
  }
}

/**
 * Opens an image in a registry for reading; nothing is sent before the first call.
 * @throws {UsageError} SLUICE_REFERENCE_INVALID
 */
export function openRegistryImage(reference: RegistryReference, options: RegistryOptions = {}): ImageSource {
  return new RegistryImage(reference, options);
}
