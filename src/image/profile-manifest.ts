import { canonicalJson, describeBytes, writeManifest } from '../oci/canonical-json.ts';
import { parseDigest } from '../oci/digest.ts';
import type { Descriptor, RawManifest } from '../oci/image.ts';
import { mediaType } from '../oci/media-types.ts';
import { profileName } from '../profile/profile.ts';

/** By this an image's referrers are told apart. Normative: docs/format.md, "Attached profiles". */
export const profileArtifactType = 'application/vnd.dev.sluice.profile.v1';

export const documentMediaType = 'application/vnd.dev.sluice.profile.document.v1+zstd';
export const hotMediaType = 'application/vnd.dev.sluice.profile.hot.v1+zstd';

/** Lists of referrers repeat a manifest's annotations: a mount learns all of this without reading the manifest. */
const annotation = {
  created: 'org.opencontainers.image.created',
  name: 'dev.sluice.profile',
  hotDigest: 'dev.sluice.hot-digest',
  hotSize: 'dev.sluice.hot-size',
  hotPages: 'dev.sluice.hot-pages',
} as const;

/** The pages of a profile, stored in the order in which a start reads them. */
export interface HotBlob {
  /** Of the blob; its size is bytes as stored. */
  readonly descriptor: Descriptor;
  /** Of 4096 bytes. Whoever attached the profile says so, and may say anything. */
  readonly pages: number;
}

/** A profile that is attached to an image: nothing of it is verified, and nothing of it has to be. */
export interface AttachedProfile {
  readonly name: string;
  readonly createdMs: number;
  /** The artifact. */
  readonly manifest: Descriptor;
  readonly hot: HotBlob | undefined;
}

/** Other registries, and other people, put in what they like: what is above these is no profile. */
const limits = { hotSize: 2 ** 40, hotPages: 2 ** 28 } as const;

/** The content of an artifact's config that has nothing to say. Source: OCI image-spec 1.1, manifest.md. */
export const emptyConfig: Uint8Array = canonicalJson({});

export interface ProfileManifestParts {
  readonly subject: Descriptor;
  readonly name: string;
  readonly created: Date;
  readonly document: Descriptor;
  readonly hot: HotBlob | undefined;
}

/** Writes the artifact manifest of a profile. Pure: the same parts give the same bytes. */
export function writeProfileManifest({ subject, name, created, document, hot }: ProfileManifestParts): RawManifest {
  const { mediaType: type, digest, size } = subject;
  return writeManifest(mediaType.ociManifest, {
    artifactType: profileArtifactType,
    config: describeBytes(mediaType.ociEmpty, emptyConfig),
    layers: hot === undefined ? [document] : [document, hot.descriptor],
    subject: { mediaType: type, digest, size },
    annotations: {
      [annotation.created]: created.toISOString(),
      [annotation.name]: name,
      ...(hot === undefined ? {} : hotAnnotations(hot)),
    },
  });
}

function hotAnnotations({ descriptor, pages }: HotBlob): Readonly<Record<string, string>> {
  return {
    [annotation.hotDigest]: descriptor.digest,
    [annotation.hotSize]: String(descriptor.size),
    [annotation.hotPages]: String(pages),
  };
}

/**
 * Reads an entry of a list of referrers.
 * @returns `undefined` when it is no profile, or no sensible one
 */
export function readProfileEntry(entry: Descriptor): AttachedProfile | undefined {
  const { annotations = {}, artifactType } = entry;
  const name = annotations[annotation.name];
  if (artifactType !== profileArtifactType || name === undefined || !profileName.test(name)) return undefined;
  const createdMs = Date.parse(annotations[annotation.created] ?? '');
  return { name, createdMs: Number.isNaN(createdMs) ? 0 : createdMs, manifest: entry, hot: readHot(annotations) };
}

function readHot(annotations: Readonly<Record<string, string>>): HotBlob | undefined {
  const size = countAt(annotations[annotation.hotSize], limits.hotSize);
  const pages = countAt(annotations[annotation.hotPages], limits.hotPages);
  const digest = annotations[annotation.hotDigest] ?? '';
  if (size === undefined || pages === undefined) return undefined;
  if (!/^sha256:[0-9a-f]{64}$/.test(digest)) return undefined;
  return { descriptor: { mediaType: hotMediaType, digest: parseDigest(digest), size }, pages };
}

function countAt(text: string | undefined, maximum: number): number | undefined {
  if (text === undefined || !/^[1-9][0-9]{0,15}$/.test(text)) return undefined;
  const count = Number(text);
  return count <= maximum ? count : undefined;
}
