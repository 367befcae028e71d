import { paddedSize } from '../chunk/parameters.ts';
import type { Extent } from '../erofs/inode.ts';
import type { LayerEntry } from '../tree/layer-entry.ts';

/** Where a file that lower layers already hold lies in their devices. */
export interface KnownFile {
  readonly size: number;
  readonly extents: readonly Extent[];
}

/** Names content: its SHA-256 in hex, or, for a sparse file, which has none, the extent list of its entry by identity. */
export type ContentKey = string | readonly Extent[];

export function contentKey(extents: readonly Extent[], digest: Uint8Array | undefined): ContentKey {
  return digest === undefined ? extents : Buffer.from(digest).toString('hex');
}

/** What the finished image wants of the layers' content. */
export interface WantedContent {
  /** Whether a file's content, by its extent list, is wanted at all. */
  readonly keep: (content: readonly Extent[]) => boolean;
  /** What goes first: the content of files that a start reads, and the place of each in the order of their first read. */
  readonly hot: ReadonlyMap<ContentKey, number>;
}

/** Everything, in the order of paths. */
export const allContent: WantedContent = { keep: () => true, hot: new Map() };

/** One file whose content goes into this layer's blob. */
export interface PlacedFile {
  /** Index of the entry whose content this is. */
  readonly entry: number;
  readonly content: ContentKey;
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
 * Decides which files of a layer are stored, and in which order: what a start reads, as it reads it, and then by path,
 * so that neighbours in a directory are neighbours in the blob. A file with the content of one seen before is not stored again.
 *
 * @param known - files of the layers below by content digest (64 hex digits)
 */
export function placeFiles(
  entries: readonly LayerEntry[],
  fileDigests: ReadonlyMap<number, Uint8Array>,
  known: ReadonlyMap<string, KnownFile>,
  wanted: WantedContent,
): Placement {
  const placed: PlacedFile[] = [];
  const repeated = new Map<number, KnownFile | PlacedFile>();
  const placedByContent = new Map<ContentKey, PlacedFile>();
  let repeatedBytes = 0;
  for (const { index, file } of filesByPath(entries)) {
    if (file.extents.length === 0 || !wanted.keep(file.extents)) continue;
    const content = contentKey(file.extents, fileDigests.get(index));
    const lower = typeof content === 'string' ? sameSize(known.get(content), file.size) : undefined;
    const twin = placedByContent.get(content) ?? lower;
    if (twin !== undefined) {
      repeated.set(index, twin);
      repeatedBytes += file.size;
      continue;
    }
    const length = file.extents.reduce((sum, extent) => sum + paddedSize(extent.length), 0);
    const own = { entry: index, content, extents: file.extents, length };
    placed.push(own);
    placedByContent.set(content, own);
  }
  // ADR-0006: whole files. The sort is stable: files of one rank stay in the order of paths.
  const rank = ({ content }: PlacedFile): number => wanted.hot.get(content) ?? Number.MAX_SAFE_INTEGER;
  return { placed: placed.sort((a, b) => rank(a) - rank(b)), repeated, repeatedBytes };
}

function filesByPath(entries: readonly LayerEntry[]): { index: number; file: LayerEntry & { kind: 'file' } }[] {
  const files = entries.flatMap((file, index) => (file.kind === 'file' ? [{ index, file }] : []));
  // A path may stand twice in a tar: the index keeps the order total.
  return files.sort((a, b) => (a.file.path < b.file.path ? -1 : a.file.path > b.file.path ? 1 : a.index - b.index));
}

function sameSize(known: KnownFile | undefined, size: number): KnownFile | undefined {
  return known?.size === size ? known : undefined;
}
