import type { ChunkStore } from '../bootstrap/chunk-store.ts';
import type { PageRun } from '../bootstrap/page-run.ts';
import { PAGE_SIZE } from '../chunk/parameters.ts';
import { maximumHotPages } from '../hot/format.ts';
import { writeHotBlob } from '../hot/writer.ts';
import { type AttachPlace, attachProfile } from '../image/attach-profile.ts';
import type { OpenImage } from '../image/open-image.ts';
import type { Digest } from '../oci/digest.ts';
import { writeProfile } from '../profile/document.ts';
import { type Profile, pageCount } from '../profile/profile.ts';
import { resolveProfile } from '../profile/resolve-profile.ts';
import { type GatheredPages, gatherPages } from './gather-pages.ts';

export interface OptimizeOptions {
  readonly image: OpenImage;
  /** Its content, verified. */
  readonly chunks: ChunkStore;
  /** Where the image is, and the profiles go. */
  readonly place: AttachPlace;
  /** Recorded on this image, or on another one: what this one does not have is left out. */
  readonly profiles: readonly Profile[];
  readonly signal?: AbortSignal | undefined;
}

/** A profile as it was attached. */
export interface OptimizedProfile {
  readonly name: string;
  /** Of the artifact. */
  readonly manifest: Digest;
  /** Pages of 4096 bytes in the hot blob. */
  readonly pages: number;
  /** The same in bytes. */
  readonly bytes: number;
  /** Pages of the profile that this image does not have, or that are too many for a hot blob. */
  readonly leftOut: number;
  /** Bytes of the hot blob as it is stored and sent; 0 when there is none. */
  readonly compressedBytes: number;
  /** Part of all bytes of the image's content, 0 to 1. */
  readonly share: number;
}

/**
 * Makes a hot blob of each profile and attaches both to the image, which does not change: one that has no profile stays
 * what it was, and so does its digest.
 *
 * @throws {RegistryError} any code; profiles attached before that stay
 * @throws {IntegrityError} when the image is damaged
 */
export async function optimizeImage(options: OptimizeOptions): Promise<OptimizedProfile[]> {
  const { image, chunks, profiles, signal } = options;
  const parts = profiles.map((profile) => ({ profile, runs: firstPages(resolveProfile(profile, image.bootstrap)) }));
  const wanted = parts.flatMap(({ runs }) => runs);
  const gathered = await gatherPages(image, chunks, wanted, signal);
  const attached: OptimizedProfile[] = [];
  for (const { profile, runs } of parts) attached.push(await attach(options, profile, runs, gathered));
  return attached;
}

async function attach(
  { image, place, signal }: OptimizeOptions,
  profile: Profile,
  runs: readonly PageRun[],
  gathered: GatheredPages,
): Promise<OptimizedProfile> {
  const hot = runs.length === 0 ? undefined : await writeHotBlob({ ...gathered, runs });
  const { name } = profile;
  const parts = { name, document: writeProfile(profile), hot };
  const manifest = await attachProfile(place, image.raw.descriptor, parts, new Date(), signal);
  const pages = hot?.pages ?? 0;
  const total = image.bootstrap.devices.reduce((sum, { chunks }) => sum + chunks.deviceSize, 0);
  return {
    name,
    manifest: manifest.digest,
    pages,
    bytes: pages * PAGE_SIZE,
    leftOut: Math.max(0, pageCount(profile) - pages),
    compressedBytes: hot?.bytes.length ?? 0,
    share: total === 0 ? 0 : (pages * PAGE_SIZE) / total,
  };
}

/** As many as a hot blob may hold: a profile that names a whole image costs no more than this. */
function firstPages(runs: readonly PageRun[]): PageRun[] {
  const first: PageRun[] = [];
  let left = maximumHotPages;
  for (const run of runs) {
    const pages = Math.min(run.pages, left);
    if (pages > 0) first.push({ ...run, pages });
    left -= pages;
  }
  return first;
}
