import { RegistryError } from '../errors.ts';
import type { Descriptor, ImageSource, RawManifest } from '../oci/image.ts';

/** Stands for an image in a registry where nobody may be asked for anything: SLUICE_OFFLINE, at once. */
export class OfflineSource implements ImageSource {
  readonly reference: string;

  constructor(reference: string) {
    this.reference = reference;
  }

  async resolve(): Promise<RawManifest> {
    throw this.#refusal('its manifest');
  }

  async readManifest({ digest }: Descriptor): Promise<RawManifest> {
    throw this.#refusal(`manifest ${digest}`);
  }

  async referrers(): Promise<readonly Descriptor[]> {
    throw this.#refusal('what refers to it');
  }

  // biome-ignore lint/correctness/useYield: it has nothing to give
  async *readBlob({ digest }: Descriptor): AsyncGenerator<Uint8Array> {
    throw this.#refusal(`blob ${digest}`);
  }

  async localBlob(): Promise<undefined> {
    return undefined;
  }

  async close(): Promise<void> {}

  #refusal(what: string): RegistryError {
    return new RegistryError(
      'SLUICE_OFFLINE',
      `Cannot open ${this.reference}: ${what} is not local, and nobody is asked`,
    );
  }
}
