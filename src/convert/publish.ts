import { annotation, formatVersion } from '../image/annotations.ts';
import { packBootstrap } from '../image/bootstrap-layer.ts';
import type { ResolvedImage } from '../image/resolve.ts';
import { canonicalJson, describeBytes, writeManifest } from '../oci/canonical-json.ts';
import type { Digest } from '../oci/digest.ts';
import type { Descriptor, ImageTarget } from '../oci/image.ts';
import { mediaType } from '../oci/media-types.ts';
import type { ConvertedLayer } from './convert-layer.ts';

/** What came out under the target's tag. */
export interface PublishedImage {
  readonly manifest: Descriptor;
  /** Merkle root of the bootstrap. */
  readonly root: Digest;
  readonly bootstrapSize: number;
  readonly bootstrapLayer: Descriptor;
}

/**
 * Larger configs are not embedded in the manifest, bytes: a start needs the config first, and this spares it a request,
 * but every tool reads the manifest.
 */
const maximumEmbedded = 8 * 1024;

/** Pushes bootstrap and config, then the manifest that makes the image visible. */
export async function publishImage(
  target: ImageTarget,
  image: ResolvedImage,
  layers: readonly ConvertedLayer[],
  bootstrap: Uint8Array,
  root: Digest,
  signal: AbortSignal | undefined,
): Promise<PublishedImage> {
  const packed = packBootstrap(bootstrap);
  const bootstrapLayer: Descriptor = {
    ...describeBytes(mediaType.ociLayerZstd, packed.layer),
    annotations: { [annotation.bootstrapSize]: String(bootstrap.length) },
  };
  const tarDigest = describeBytes(mediaType.ociLayer, packed.tar).digest;
  const configBytes = convertedConfig(image, [...layers.map((layer) => layer.deviceDigest), tarDigest]);
  const config = describeBytes(mediaType.ociConfig, configBytes);
  await target.putBlob(bootstrapLayer, once(packed.layer), signal);
  await target.putBlob(config, once(configBytes), signal);
  const manifest = writeManifest(mediaType.ociManifest, {
    config: configBytes.length <= maximumEmbedded ? { ...config, data: base64(configBytes) } : config,
    layers: [...layers.map((layer) => layer.descriptor), bootstrapLayer],
    annotations: {
      ...image.manifest.annotations,
      [annotation.format]: formatVersion,
      [annotation.root]: root,
      [annotation.source]: image.raw.descriptor.digest,
    },
  });
  await target.putManifest(manifest, true, signal);
  return { manifest: manifest.descriptor, root, bootstrapSize: bootstrap.length, bootstrapLayer };
}

/** The source's config with our layers in it; how to start a container stays as it is. */
function convertedConfig(image: ResolvedImage, diffIds: readonly Digest[]): Uint8Array {
  const { document } = image.config;
  const { history } = document;
  return canonicalJson({
    ...document,
    rootfs: { type: 'layers', diff_ids: diffIds },
    // Tools that count history against layers expect one line a layer.
    ...(Array.isArray(history)
      ? { history: [...history, { created_by: 'sluice convert', comment: 'bootstrap' }] }
      : {}),
  });
}

function once(bytes: Uint8Array): () => AsyncIterable<Uint8Array> {
  return async function* content() {
    yield bytes;
  };
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64');
}
