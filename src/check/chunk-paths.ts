import { type ByteString, displayText } from '../byte-string.ts';
import type { ChunkMap } from '../chunk/chunk-map.ts';
import type { DirectoryInode, Extent } from '../erofs/inode.ts';
import { walk } from '../tree/walk.ts';
import type { BadChunk } from './check-blob.ts';
import { maximumPaths } from './problem.ts';

/** The files a chunk is part of. */
export interface ChunkPaths {
  /** The first {@link maximumPaths} in tree order, for people. */
  readonly paths: string[];
  count: number;
}

/**
 * Finds the files that use any of `bad`, by one walk of the tree. A file under several names is listed under each.
 *
 * @param maps - the chunk maps of the devices
 * @returns in the order of `bad`
 */
export function findChunkPaths(
  tree: DirectoryInode,
  maps: readonly ChunkMap[],
  bad: readonly BadChunk[],
): readonly ChunkPaths[] {
  const found = bad.map((): ChunkPaths => ({ paths: [], count: 0 }));
  if (bad.length === 0) return found;
  const byDevice = maps.map((): { chunk: number; found: ChunkPaths }[] => []);
  for (const [i, { device, chunk }] of bad.entries()) byDevice[device]?.push({ chunk, found: found[i] as ChunkPaths });
  for (const list of byDevice) list.sort((a, b) => a.chunk - b.chunk);
  for (const { path, inode } of walk(tree)) {
    if (inode.kind !== 'file') continue;
    const touched = new Set<ChunkPaths>();
    for (const extent of inode.extents) {
      for (const hit of overlapping(extent, maps[extent.device], byDevice[extent.device] ?? [])) touched.add(hit.found);
    }
    for (const chunk of touched) addPath(chunk, path);
  }
  return found;
}

function addPath(found: ChunkPaths, path: ByteString): void {
  found.count += 1;
  if (found.paths.length < maximumPaths) found.paths.push(`/${displayText(path)}`);
}

/** Those of `bad`, which is sorted, that `extent` reaches into. */
function* overlapping<Bad extends { chunk: number }>(
  { deviceOffset, length }: Extent,
  map: ChunkMap | undefined,
  bad: readonly Bad[],
): Generator<Bad> {
  if (map === undefined || bad.length === 0) return;
  const first = map.find(deviceOffset);
  const last = map.find(deviceOffset + length - 1);
  let low = 0;
  for (let high = bad.length; low < high; ) {
    const middle = (low + high) >>> 1;
    if ((bad[middle]?.chunk ?? 0) < first) low = middle + 1;
    else high = middle;
  }
  for (let at = bad[low]; at !== undefined && at.chunk <= last; at = bad[++low]) yield at;
}
