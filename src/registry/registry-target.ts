import { UsageError } from '../errors.ts';
import type { Descriptor, ImageTarget, RawManifest } from '../oci/image.ts';
import { formatReference, type RegistryReference } from '../oci/reference.ts';
import { BlobWriter } from './blob-writer.ts';
import { registryHosts } from './hosts.ts';
import { ManifestStore } from './manifests.ts';
import { RegistryClient } from './registry-client.ts';
import type { RegistryOptions } from './registry-options.ts';

class RegistryTarget implements ImageTarget {
  readonly reference: string;
  readonly repository: string;
  readonly #tag: string;
  readonly #client: RegistryClient;
  readonly #manifests: ManifestStore;
  readonly #blobs: BlobWriter;

  constructor(reference: RegistryReference, options: RegistryOptions) {
    this.reference = formatReference(reference);
    if (reference.tag === undefined || reference.digest !== undefined) {
      throw new UsageError(
        'SLUICE_REFERENCE_INVALID',
        `Cannot write to "${this.reference}": a digest follows from the image; want a tag`,
      );
    }
    this.repository = reference.repository;
    this.#tag = reference.tag;
    const { registry } = registryHosts(reference, options);
    this.#client = new RegistryClient(registry, reference.repository, options);
    this.#manifests = new ManifestStore(this.#client, reference.repository, 'pull,push');
    this.#blobs = new BlobWriter(this.#client, reference.repository);
  }

  hasBlob(descriptor: Descriptor, signal?: AbortSignal): Promise<boolean> {
    return this.#blobs.has(descriptor, signal);
  }

  putBlob(descriptor: Descriptor, content: () => AsyncIterable<Uint8Array>, signal?: AbortSignal): Promise<boolean> {
    return this.#blobs.put(descriptor, content, signal);
  }

  mountBlob(descriptor: Descriptor, fromRepository: string, signal?: AbortSignal): Promise<boolean> {
    return this.#blobs.mount(descriptor, fromRepository, signal);
  }

  putManifest(manifest: RawManifest, tag: boolean, signal?: AbortSignal): Promise<void> {
    return this.#manifests.put(tag ? this.#tag : manifest.descriptor.digest, manifest, signal);
  }

  async close(): Promise<void> {
    await this.#client.close();
  }
}

/**
 * Opens a place in a registry for writing; nothing is sent before the first call.
 * @throws {UsageError} SLUICE_REFERENCE_INVALID, also for a reference by digest
 */
export function openRegistryTarget(reference: RegistryReference, options: RegistryOptions = {}): ImageTarget {
  return new RegistryTarget(reference, options);
}
