import type { ByteString } from '../byte-string.ts';
import type { ErofsReader } from '../erofs/reader.ts';

const DT_DIR = 4;

/**
 * A path of an inode, for messages: `/usr/bin/ls`. A hard link's first one in directory order.
 * Walks the tree, so it is for failures, not for every read.
 * @returns `undefined` when no name leads to it
 */
export function pathOf(erofs: ErofsReader, nid: number): ByteString | undefined {
  const pending = [{ nid: erofs.rootNid, path: '' }];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    if (next.nid === nid) return (next.path || '/') as ByteString;
    for (const child of children(erofs, next)) {
      if (child.isDirectory || child.nid === nid) pending.push(child);
    }
  }
  return undefined;
}

function* children(
  erofs: ErofsReader,
  parent: { nid: number; path: string },
): Generator<{ nid: number; path: string; isDirectory: boolean }> {
  for (const { name, nid, type } of erofs.readDirectory(parent.nid)) {
    if (name !== '.' && name !== '..') yield { nid, path: `${parent.path}/${name}`, isDirectory: type === DT_DIR };
  }
}
