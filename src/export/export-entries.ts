import type { BlobMetadata } from '../blob/metadata.ts';
import type { FileEntry, LayerEntry } from '../tree/layer-entry.ts';

/**
 * A layer's entries as they go into a tar again.
 *
 * An image converted with `--drop-hidden` has no content for files that upper layers hide. Their entries stay, with no
 * content: to leave them out would change the tree, because a file also replaces what stood under its name (a directory
 * that a later layer makes anew would have its old files back), and hidden hard links would lead nowhere. The content
 * itself is in no merged tree, or it would not have been dropped.
 */
export function* exportEntries({ entries, fileDigests }: BlobMetadata): Generator<LayerEntry> {
  for (const [i, entry] of entries.entries()) {
    yield entry.kind === 'file' && isDropped(entry, fileDigests.has(i)) ? { ...entry, size: 0, extents: [] } : entry;
  }
}

/**
 * Files without holes have a digest; so one with a digest and without content was dropped. Of sparse files it cannot be
 * told from those that are all hole, which they then become.
 */
function isDropped({ size, extents }: FileEntry, hasDigest: boolean): boolean {
  return hasDigest && size > 0 && extents.length === 0;
}

/** How many files of a layer have no content any more. */
export function countDropped({ entries, fileDigests }: BlobMetadata): number {
  let dropped = 0;
  for (const i of fileDigests.keys()) {
    const entry = entries[i];
    if (entry?.kind === 'file' && isDropped(entry, true)) dropped++;
  }
  return dropped;
}
