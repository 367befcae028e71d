import type { BlobPlace, ByteRange, Descriptor } from '../oci/image.ts';
import type { RegistryReference } from '../oci/reference.ts';
import { BlobReader } from './blob-reader.ts';
import { ManifestStore } from './manifests.ts';
import { RegistryClient } from './registry-client.ts';
import type { RegistryHost } from './registry-host.ts';
import { type RegistryOptions, singleTry } from './registry-options.ts';

/** A mirror that failed is not asked for a while: each document of a start would wait for it. */
const restMs = 10_000;

/** One host that has a repository. */
export class RegistryPlace implements BlobPlace {
  readonly name: string;
  readonly host: RegistryHost;
  readonly client: RegistryClient;
  readonly manifests: ManifestStore;
  readonly blobs: BlobReader;
  #restsUntil = Number.NEGATIVE_INFINITY;

  constructor(host: RegistryHost, reference: RegistryReference, options: RegistryOptions) {
    this.host = host;
    this.name = host.name;
    this.client = new RegistryClient(host, reference.repository, options);
    this.manifests = new ManifestStore(this.client, reference.repository, 'pull');
    this.blobs = new BlobReader(this.client, reference.repository);
  }

  distrust({ digest }: Descriptor): void {
    this.blobs.forget(digest);
  }

  get rests(): boolean {
    return performance.now() < this.#restsUntil;
  }

  rest(): void {
    this.#restsUntil = performance.now() + restMs;
  }

  /** One try: whoever has several places knows what to do next. */
  readBlob(descriptor: Descriptor, range?: ByteRange, signal?: AbortSignal): AsyncIterable<Uint8Array> {
    return this.blobs.read(descriptor, range, signal, singleTry);
  }
}
