import type { Digest } from '../oci/digest.ts';
import type { ImageSource } from '../oci/image.ts';
import { type AttachedProfile, profileArtifactType, readProfileEntry } from './profile-manifest.ts';

/** Most profiles of one image: each is offered to people by name, and may be chosen. */
const maximumProfiles = 100;

/**
 * Finds what is attached to an image: one round trip, or none where the list is kept. Entries that make no sense, and
 * those beyond the first hundred, are left out: a list that somebody spoilt costs an image its profiles, nothing else.
 *
 * @param manifest - the image that is mounted, never an index
 * @returns one profile a name, the newest; in order of their names
 * @throws {RegistryError} any code: a start goes on without profiles
 */
export async function findProfiles(
  source: Pick<ImageSource, 'referrers'>,
  manifest: Digest,
  signal?: AbortSignal,
): Promise<readonly AttachedProfile[]> {
  const newest = new Map<string, AttachedProfile>();
  for (const entry of await source.referrers(manifest, profileArtifactType, signal)) {
    const profile = readProfileEntry(entry);
    if (profile === undefined) continue;
    const known = newest.get(profile.name);
    if (known === undefined ? newest.size < maximumProfiles : isNewer(profile, known))
      newest.set(profile.name, profile);
  }
  return [...newest.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Two of the same moment have no order of their own: every reader is to choose the same one. */
function isNewer(a: AttachedProfile, b: AttachedProfile): boolean {
  return a.createdMs === b.createdMs ? a.manifest.digest > b.manifest.digest : a.createdMs > b.createdMs;
}
