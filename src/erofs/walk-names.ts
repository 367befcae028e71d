import type { ByteString } from '../byte-string.ts';
import type { DirectoryItem } from './directory-reader.ts';
import type { ErofsReader } from './reader.ts';

const DT_DIR = 4;

/** A name and where it stands. */
export interface WalkedName extends Pick<DirectoryItem, 'nid' | 'type'> {
  /** Absolute. */
  readonly path: ByteString;
}

/**
 * Every name below the root, each directory before what it holds. Reads no inode but those of directories.
 * @throws {FormatError} SLUICE_EROFS_* for a broken image
 */
export function* walkNames(erofs: ErofsReader): Generator<WalkedName> {
  const ahead = [{ nid: erofs.rootNid, path: '' }];
  // A broken image may hold a directory that is in itself.
  const seen = new Set<number>();
  for (let next = ahead.pop(); next !== undefined; next = ahead.pop()) {
    if (seen.has(next.nid)) continue;
    seen.add(next.nid);
    for (const { name, nid, type } of erofs.readDirectory(next.nid)) {
      if (name === '.' || name === '..') continue;
      const path = `${next.path}/${name}` as ByteString;
      yield { nid, type, path };
      if (type === DT_DIR) ahead.push({ nid, path });
    }
  }
}
