import type { Digest } from '../oci/digest.ts';
import type { Descriptor, RawManifest, ReferrerTarget } from '../oci/image.ts';
import { formatReference, type RegistryReference } from '../oci/reference.ts';
import { BlobWriter } from './blob-writer.ts';
import { registryHosts } from './hosts.ts';
import { ManifestStore } from './manifests.ts';
import { RegistryClient } from './registry-client.ts';
import type { RegistryOptions } from './registry-options.ts';

class RegistryReferrerTarget implements ReferrerTarget {
  readonly reference: string;
  readonly #client: RegistryClient;
  readonly #manifests: ManifestStore;
  readonly #blobs: BlobWriter;

  constructor(reference: RegistryReference, options: RegistryOptions) {
    this.reference = formatReference(reference);
    const { registry } = registryHosts(reference, options);
    this.#client = new RegistryClient(registry, reference.repository, options);
    this.#manifests = new ManifestStore(this.#client, reference.repository, 'pull,push');
    this.#blobs = new BlobWriter(this.#client, reference.repository);
  }

  putBlob(descriptor: Descriptor, content: () => AsyncIterable<Uint8Array>, signal?: AbortSignal): Promise<boolean> {
    return this.#blobs.put(descriptor, content, signal);
  }

  putReferrer(manifest: RawManifest, replaced: readonly Digest[], signal?: AbortSignal): Promise<void> {
    return this.#manifests.putReferrer(manifest, replaced, signal);
  }

  async close(): Promise<void> {
    await this.#client.close();
  }
}

/** Opens the repository of an image in a registry, to attach manifests there; nothing is sent before the first call. */
export function openRegistryReferrerTarget(
  reference: RegistryReference,
  options: RegistryOptions = {},
): ReferrerTarget {
  return new RegistryReferrerTarget(reference, options);
}
