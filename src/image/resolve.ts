import { type ImageConfig, parseConfig } from '../oci/config.ts';
import type { BlobSource, ImageSource, Platform, RawManifest } from '../oci/image.ts';
import { type Manifest, parseIndex, parseManifest } from '../oci/manifest.ts';
import { isIndex } from '../oci/media-types.ts';
import { platformCandidates, selectPlatform } from '../oci/platform.ts';
import { readDocument } from '../oci/read-document.ts';

/** One image of a source: the manifest for a platform and its config, digests verified. */
export interface ResolvedImage {
  readonly raw: RawManifest;
  readonly manifest: Manifest;
  readonly config: ImageConfig;
  readonly configBytes: Uint8Array;
}

/**
 * Finds the manifest for `platform`, through an index where there is one.
 *
 * @param prefer - which of several manifests for one platform is meant (an index may carry an image and its
 *   conversion); the first one where none fits
 * @throws {NotFoundError} SLUICE_IMAGE_NOT_FOUND, SLUICE_PLATFORM_NOT_FOUND
 * @throws {FormatError} SLUICE_MANIFEST_INVALID, SLUICE_MANIFEST_UNSUPPORTED
 */
export async function resolveManifest(
  source: Pick<ImageSource, 'resolve' | 'readManifest'>,
  platform: Platform | undefined,
  prefer: (manifest: Manifest) => boolean,
  signal?: AbortSignal,
): Promise<RawManifest> {
  const raw = await source.resolve(signal);
  if (!isIndex(raw.descriptor.mediaType)) return raw;
  const index = parseIndex(raw);
  const first = selectPlatform(index, platform);
  if (first.platform === undefined) return source.readManifest(first, signal);
  let fallback: RawManifest | undefined;
  for (const candidate of platformCandidates(index, first.platform)) {
    const manifest = await source.readManifest(candidate, signal);
    if (prefer(parseManifest(manifest))) return manifest;
    fallback ??= manifest;
  }
  return fallback ?? source.readManifest(first, signal);
}

/** The manifest and config behind `raw`. */
export async function resolveConfig(
  source: BlobSource,
  raw: RawManifest,
  signal?: AbortSignal,
): Promise<ResolvedImage> {
  const manifest = parseManifest(raw);
  const configBytes = await readDocument(source, manifest.config, signal);
  return { raw, manifest, config: parseConfig(configBytes), configBytes };
}
