import { describeBytes } from '../oci/canonical-json.ts';
import type { Descriptor, ImageSource, ReferrerTarget } from '../oci/image.ts';
import { mediaType } from '../oci/media-types.ts';
import { compress } from '../zstd/codec.ts';
import {
  documentMediaType,
  emptyConfig,
  hotMediaType,
  profileArtifactType,
  readProfileEntry,
  writeProfileManifest,
} from './profile-manifest.ts';

/** Paths repeat one another; a document is written once and small: level 19 of 200 kB takes a tenth of a second. */
const documentLevel = 19;

/** A profile as it goes to a registry. All bytes stay the caller's. */
export interface NewProfile {
  readonly name: string;
  /** JSON, not compressed. */
  readonly document: Uint8Array;
  readonly hot: { readonly bytes: Uint8Array; readonly pages: number } | undefined;
}

/** Where an image is, to be read and to be attached to. */
export interface AttachPlace {
  readonly source: Pick<ImageSource, 'referrers'>;
  readonly target: ReferrerTarget;
}

/**
 * Attaches a profile to an image, which does not change by it; takes the place of an attached one of the same name.
 * Blobs first, the manifest last: nobody sees half a profile. Of two that attach at once, either may win.
 *
 * @param subject - the manifest of the image, never an index
 * @param created - which of two profiles of one name is the newer one
 * @returns the artifact
 * @throws {RegistryError} any code
 */
export async function attachProfile(
  { source, target }: AttachPlace,
  subject: Descriptor,
  profile: NewProfile,
  created: Date = new Date(),
  signal?: AbortSignal,
): Promise<Descriptor> {
  const put = async (type: string, bytes: Uint8Array): Promise<Descriptor> => {
    const descriptor = describeBytes(type, bytes);
    await target.putBlob(descriptor, () => one(bytes), signal);
    return descriptor;
  };
  const { name, hot } = profile;
  await put(mediaType.ociEmpty, emptyConfig);
  const document = await put(documentMediaType, compress(profile.document, documentLevel));
  const hotBlob = hot && { descriptor: await put(hotMediaType, hot.bytes), pages: hot.pages };
  const manifest = writeProfileManifest({ subject, name, created, document, hot: hotBlob });
  const attached = await source.referrers(subject.digest, profileArtifactType, signal);
  const replaced = attached.filter((entry) => readProfileEntry(entry)?.name === name).map(({ digest }) => digest);
  await target.putReferrer(manifest, replaced, signal);
  return manifest.descriptor;
}

async function* one(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
