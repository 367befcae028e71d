import type { ByteString } from '../byte-string.ts';
import type { Digest } from '../oci/digest.ts';

/** A run of 4096-byte pages of one file, read together or one after the other. */
export interface ProfileRead {
  /** Index into {@link Profile.files}. */
  readonly file: number;
  /** The first page, counted in pages of 4096 bytes from the start of the file. */
  readonly page: number;
  /** Pages; at least 1. */
  readonly pages: number;
}

/**
 * What the start of a container reads of its image, in the order in which it does so for the first time.
 *
 * Files go by path, not by inode number, so that a profile of one version of an image says something about the next.
 * A profile that this code makes holds every page once; one that is parsed need not.
 */
export interface Profile {
  /** `default`, `worker`: an image has a profile for each way to start it. */
  readonly name: string;
  /** Merkle root of the bootstrap it was recorded on, last. */
  readonly root: Digest;
  /** How many recordings are in it. */
  readonly runs: number;
  /** Whether only pages that were asked for are in it; otherwise some are there because the kernel read ahead. */
  readonly pageExact: boolean;
  /** Absolute paths, without symbolic links. In a profile of this code's: in the order of their first read. */
  readonly files: readonly ByteString[];
  readonly reads: readonly ProfileRead[];
}

/** Most files of a profile. Each costs its sender a few bytes and us a search in the tree. */
export const maximumFiles = 16_384;

/** Most bytes of all paths together, so that any profile there may be can be written in less than 4 MiB. */
export const maximumPathBytes = 900_000;

/** Most runs of pages. */
export const maximumReads = 65_536;

/**
 * Most pages, all runs together: 4 GiB. A run of 2^40 pages is written in 15 bytes, and all that works on a profile
 * takes time and memory for each page.
 */
export const maximumPages = 1 << 20;

/** Names of profiles are names of files, too. */
export const profileName = /^[a-z0-9_-][a-z0-9._-]{0,63}$/;

/** A read of a profile with its file. */
export interface PathRead extends Pick<ProfileRead, 'page' | 'pages'> {
  readonly path: ByteString;
}

/** The reads of a profile, in order. A profile that was parsed or made has no read of a file that is not in it. */
export function* readsOf({ files, reads }: Profile): Generator<PathRead> {
  for (const { file, page, pages } of reads) {
    const path = files[file];
    if (path === undefined) throw new RangeError(`Cannot use read of file ${file}: there are ${files.length}`);
    yield { path, page, pages };
  }
}

/** Pages of all reads together. */
export function pageCount(profile: Profile): number {
  return profile.reads.reduce((sum, { pages }) => sum + pages, 0);
}
