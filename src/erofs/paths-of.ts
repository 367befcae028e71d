import type { ByteString } from '../byte-string.ts';
import type { ErofsReader } from './reader.ts';
import { walkNames } from './walk-names.ts';

/**
 * Absolute paths of inodes: `/usr/bin/ls`; of a hard link's several, one. Walks the tree until all are found, so it is
 * for failures and records, not for every read.
 *
 * @returns without the root, and without those that no name leads to
 * @throws {FormatError} SLUICE_EROFS_* for a broken image
 */
export function pathsOf(erofs: ErofsReader, nids: ReadonlySet<number>): Map<number, ByteString> {
  const found = new Map<number, ByteString>();
  for (const { nid, path } of walkNames(erofs)) {
    if (nids.has(nid) && !found.has(nid)) found.set(nid, path);
    if (found.size === nids.size) break;
  }
  return found;
}
