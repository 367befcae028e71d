import { paddedSize } from '../chunk/parameters.ts';
import type { Extent } from '../erofs/inode.ts';
import type { LayerEntry } from '../tree/layer-entry.ts';

/** Where a file that lower layers already hold lies in their devices. */
export interface KnownFile {
  readonly size: number;
  readonly extents: readonly Extent[];
}

/** One file whose content goes into this layer's blob. */
export interface PlacedFile {
  /** Index of the entry whose content this is. */
  readonly entry: number;
  /** Where it lies in the spool. */
  readonly extents: readonly Extent[];
  /** Whole pages it takes in the device image, bytes. */
  readonly length: number;
}

export interface Placement {
  /** In the order of the device image. */
  readonly placed: readonly PlacedFile[];
  /** Entries whose content a lower layer, or `placed` before them, already holds; by entry index. */
  readonly repeated: ReadonlyMap<number, KnownFile | PlacedFile>;
  /** Bytes of files that are not stored again. */
  readonly repeatedBytes: number;
}

/**
 * Decides which files of a layer are stored, and in which order: by path, so that neighbours in a directory are
 * neighbours in the blob. A file with the content of one seen before is not stored again.
 *
 * @param known - files of the layers below by content digest (64 hex digits)
 * @param keep - whether a file's content, by its extent list, is wanted at all
 */
export function placeFiles(
  entries: readonly LayerEntry[],
  fileDigests: ReadonlyMap<number, Uint8Array>,
  known: ReadonlyMap<string, KnownFile>,
  keep: (content: readonly Extent[]) => boolean,
): Placement {
  const placed: PlacedFile[] = [];
  const repeated = new Map<number, KnownFile | PlacedFile>();
  const placedByDigest = new Map<string, PlacedFile>();
  let repeatedBytes = 0;
  for (const { index, file } of filesByPath(entries)) {
    if (file.extents.length === 0 || !keep(file.extents)) continue;
    const digest = fileDigests.get(index);
    const key = digest === undefined ? undefined : Buffer.from(digest).toString('hex');
    const twin = key === undefined ? undefined : (placedByDigest.get(key) ?? sameSize(known.get(key), file.size));
    if (twin !== undefined) {
      repeated.set(index, twin);
      repeatedBytes += file.size;
      continue;
    }
    const length = file.extents.reduce((sum, extent) => sum + paddedSize(extent.length), 0);
    const own = { entry: index, extents: file.extents, length };
    placed.push(own);
    if (key !== undefined) placedByDigest.set(key, own);
  }
  return { placed, repeated, repeatedBytes };
}

function filesByPath(entries: readonly LayerEntry[]): { index: number; file: LayerEntry & { kind: 'file' } }[] {
  const files = entries.flatMap((file, index) => (file.kind === 'file' ? [{ index, file }] : []));
  // A path may stand twice in a tar: the index keeps the order total.
  return files.sort((a, b) => (a.file.path < b.file.path ? -1 : a.file.path > b.file.path ? 1 : a.index - b.index));
}

function sameSize(known: KnownFile | undefined, size: number): KnownFile | undefined {
  return known?.size === size ? known : undefined;
}
