import type { Digest } from './digest.ts';
import type { Descriptor, RawManifest } from './image.ts';
import { parseIndex, parseManifest } from './manifest.ts';
import { isIndex } from './media-types.ts';

/** A manifest that points to another one, and how lists of referrers describe it. */
export interface Referrer {
  readonly subject: Digest;
  readonly descriptor: Descriptor;
}

/**
 * Source: OCI distribution-spec 1.1, "Listing Referrers": `artifactType` falls back on the config's media type.
 *
 * @returns `undefined` when the manifest has no subject
 * @throws {FormatError} as {@link parseManifest} and {@link parseIndex} do
 */
export function describeReferrer(raw: RawManifest): Referrer | undefined {
  const document = isIndex(raw.descriptor.mediaType) ? parseIndex(raw) : parseManifest(raw);
  if (document.subject === undefined) return undefined;
  const artifactType = document.artifactType ?? ('config' in document ? document.config.mediaType : undefined);
  const { mediaType, digest, size } = raw.descriptor;
  const annotations = Object.keys(document.annotations).length > 0 ? { annotations: document.annotations } : {};
  return {
    subject: document.subject.digest,
    descriptor: { mediaType, digest, size, ...annotations, ...(artifactType ? { artifactType } : {}) },
  };
}

/** The tag under which registries without the referrers API keep the list. Source: ibid., "Referrers Tag Schema". */
export function referrersTag(digest: Digest): string {
  return digest.replace(':', '-');
}
