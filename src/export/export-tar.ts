import type { ChunkStore } from '../bootstrap/chunk-store.ts';
import type { OpenImage } from '../image/open-image.ts';
import { RecentChunks } from '../image/recent-chunks.ts';
import { layerEntries } from '../tree/layer-entries.ts';
import { writeTar } from './write-tar.ts';

/**
 * The whole tree of an image as one tar: parents before children, names in byte order, hard links to the first name.
 * The same tree gives the same bytes.
 *
 * @param chunks - the image's content
 * @returns pieces, used before the next step
 * @throws {FormatError} SLUICE_EROFS_* for a broken tree, SLUICE_TREE_INVALID for what no tar can hold
 * @throws what `chunks` throws
 */
export function exportTar(image: OpenImage, chunks: ChunkStore, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
  const { bootstrap } = image;
  return writeTar(layerEntries(bootstrap.erofs.tree()), { bootstrap, chunks: new RecentChunks(chunks) }, signal);
}
