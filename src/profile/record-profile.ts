import type { Bootstrap } from '../bootstrap/bootstrap.ts';
import { PAGE_SIZE } from '../chunk/parameters.ts';
import { pathsOf } from '../erofs/paths-of.ts';
import type { Profile } from './profile.ts';
import { ProfileBuilder, type ProfileHead } from './profile-builder.ts';

/** Pages of a file that somebody asked for, as a mount records it. */
export interface FileRead {
  readonly nid: number;
  /** The first page, counted in pages of 4096 bytes from the start of the file. */
  readonly page: number;
  readonly pages: number;
}

/**
 * Makes a profile of one recording: paths for inode numbers, every page where it was first read, nothing behind the
 * end of a file. What no name leads to is left out.
 *
 * @param reads - in the order in which they happened
 * @throws {FormatError} SLUICE_EROFS_* for a broken image
 */
export function recordProfile(
  head: Omit<ProfileHead, 'runs'>,
  { erofs }: Bootstrap,
  reads: readonly FileRead[],
): Profile {
  const paths = pathsOf(erofs, new Set(reads.map(({ nid }) => nid)));
  const ends = new Map(Array.from(paths.keys(), (nid) => [nid, Math.ceil(erofs.inode(nid).size / PAGE_SIZE)] as const));
  const builder = new ProfileBuilder();
  for (const { nid, page, pages } of reads) {
    const path = paths.get(nid);
    if (path === undefined) continue;
    const end = Math.min(page + pages, ends.get(nid) ?? 0);
    for (let next = page; next < end; next++) builder.add(path, next);
  }
  return builder.build({ ...head, runs: 1 });
}
