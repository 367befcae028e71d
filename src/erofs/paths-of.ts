import type { ByteString } from '../byte-string.ts';
import type { ErofsReader } from './reader.ts';

const DT_DIR = 4;

interface Place {
  readonly nid: number;
  readonly path: string;
}

/**
 * Absolute paths of inodes: `/usr/bin/ls`; of a hard link's several, one. Walks the tree until all are found, so it is
 * for failures and records, not for every read.
 *
 * @returns without those that no name leads to
 * @throws {FormatError} SLUICE_EROFS_* for a broken image
 */
export function pathsOf(erofs: ErofsReader, nids: ReadonlySet<number>): Map<number, ByteString> {
  const found = new Map<number, ByteString>();
  for (const { nid, path } of walk(erofs)) {
    if (found.size === nids.size) break;
    if (nids.has(nid) && !found.has(nid)) found.set(nid, (path || '/') as ByteString);
  }
  return found;
}

/** Every name of the tree, each directory before what it holds. */
function* walk(erofs: ErofsReader): Generator<Place> {
  const ahead: Place[] = [{ nid: erofs.rootNid, path: '' }];
  // A broken image may hold a directory that is in itself.
  const seen = new Set<number>();
  yield* ahead;
  for (let next = ahead.pop(); next !== undefined; next = ahead.pop()) {
    if (seen.has(next.nid)) continue;
    seen.add(next.nid);
    for (const { name, nid, type } of erofs.readDirectory(next.nid)) {
      if (name === '.' || name === '..') continue;
      const place = { nid, path: `${next.path}/${name}` };
      yield place;
      if (type === DT_DIR) ahead.push(place);
    }
  }
}
