import { BLOB_TRAILER_SIZE } from '../blob/format.ts';
import type { BlobMetadata } from '../blob/metadata.ts';
import { parseBlobMetadata, parseBlobTrailer } from '../blob/reader.ts';
import { FormatError, IntegrityError, SluiceError } from '../errors.ts';
import { annotation, blobMediaType } from '../image/annotations.ts';
import { resolveConfig, resolveManifest } from '../image/resolve.ts';
import type { Descriptor, ImageSource, ImageTarget } from '../oci/image.ts';
import type { FinishedLayer, LayerStore } from './layer-store.ts';

/** A first guess of a metadata frame's length: most fit, and one request is enough. */
const tailGuess = 256 * 1024;

/** A layer that need not be converted, and where it was found. */
export interface ReusableLayer {
  readonly layer: FinishedLayer;
  readonly metadata: BlobMetadata;
  readonly from: 'machine' | 'target';
}

/** A converted layer of an image that is in the target already. */
interface TargetLayer {
  readonly descriptor: Descriptor;
  readonly deviceDigest: FinishedLayer['deviceDigest'];
}

/**
 * Finds layers that need not be converted: this machine did it before, or the image the target holds under the same
 * name has them. Whoever may write to the target is trusted with what is reused from it, as with its tags.
 */
export class ReusableLayers {
  readonly #store: LayerStore;
  readonly #target: ImageTarget;
  readonly #previous: ImageSource | undefined;
  #targetLayers: Promise<Map<string, TargetLayer>> | undefined;

  /** @param previous - the target opened for reading; `undefined` when it can't be read */
  constructor(store: LayerStore, target: ImageTarget, previous: ImageSource | undefined) {
    this.#store = store;
    this.#target = target;
    this.#previous = previous;
  }

  /**
   * @returns the layer of this key, its blob being in the target or in the store; `undefined` to convert it, also when
   *   what is kept of it is damaged
   */
  async find(key: string, signal?: AbortSignal): Promise<ReusableLayer | undefined> {
    const stored = await this.#store.find(key);
    const kept = stored && (await checkedLayer(key, 'machine', async () => stored));
    if (kept !== undefined && (await this.#isAvailable(key, kept.layer, signal))) return kept;
    this.#targetLayers ??= this.#listTarget(signal);
    const found = (await this.#targetLayers).get(key);
    const previous = this.#previous;
    if (found === undefined || previous === undefined) return undefined;
    const { descriptor, deviceDigest } = found;
    const inTarget = await checkedLayer(key, 'target', async () => ({
      blob: descriptor.digest,
      size: descriptor.size,
      deviceDigest,
      repositories: [],
      metadata: await readMetadataFrame(previous, descriptor, signal),
    }));
    if (inTarget !== undefined) await this.#store.addRecord(key, inTarget.layer);
    return inTarget;
  }

  async #isAvailable(key: string, layer: FinishedLayer, signal?: AbortSignal): Promise<boolean> {
    const descriptor = { mediaType: blobMediaType, digest: layer.blob, size: layer.size };
    if (await this.#store.hasBlob(key)) return true;
    if (await this.#target.hasBlob(descriptor, signal)) return true;
    for (const repository of layer.repositories) {
      if (await this.#target.mountBlob(descriptor, repository, signal)) return true;
    }
    return false;
  }

  /** The layers by key; nothing when the target is empty, or holds something else under this name. */
  async #listTarget(signal?: AbortSignal): Promise<Map<string, TargetLayer>> {
    const layers = new Map<string, TargetLayer>();
    if (this.#previous === undefined) return layers;
    try {
      const isConverted = (manifest: { annotations: Readonly<Record<string, string>> }): boolean =>
        manifest.annotations[annotation.format] !== undefined;
      const raw = await resolveManifest(this.#previous, undefined, isConverted, signal);
      const { manifest, config } = await resolveConfig(this.#previous, raw, signal);
      for (const [i, descriptor] of manifest.layers.entries()) {
        const key = descriptor.annotations?.[annotation.layerKey];
        const deviceDigest = config.diffIds[i];
        if (key !== undefined && deviceDigest !== undefined) layers.set(key, { descriptor, deviceDigest });
      }
    } catch (error) {
      if (!(error instanceof SluiceError) || error.code === 'SLUICE_CANCELLED') throw error;
    }
    return layers;
  }
}

/** The layer, if its metadata is sound and of this key. */
async function checkedLayer(
  key: string,
  from: ReusableLayer['from'],
  read: () => Promise<FinishedLayer>,
): Promise<ReusableLayer | undefined> {
  try {
    const layer = await read();
    const metadata = parseBlobMetadata(layer.metadata, layer.size);
    return metadata.layerKey === key ? { layer, metadata, from } : undefined;
  } catch (error) {
    if (error instanceof FormatError || error instanceof IntegrityError) return undefined;
    throw error;
  }
}

/** The last bytes of a layer blob, by one range request or two. */
async function readMetadataFrame(
  source: ImageSource,
  descriptor: Descriptor,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  const readTail = async (length: number): Promise<Uint8Array> => {
    const parts: Uint8Array[] = [];
    const range = { start: descriptor.size - length, end: descriptor.size };
    for await (const part of source.readBlob(descriptor, range, signal)) parts.push(part);
    return Buffer.concat(parts);
  };
  const tail = await readTail(Math.min(descriptor.size, tailGuess));
  const { metadataLength } = parseBlobTrailer(tail.subarray(Math.max(0, tail.length - BLOB_TRAILER_SIZE)));
  if (metadataLength > descriptor.size) return tail;
  return metadataLength <= tail.length ? tail.subarray(tail.length - metadataLength) : readTail(metadataLength);
}
