import type { BlobMetadata } from '../blob/metadata.ts';
import type { ByteString } from '../byte-string.ts';
import type { DirectoryInode, Extent, Inode } from '../erofs/inode.ts';
import { UsageError } from '../errors.ts';
import type { Profile } from '../profile/profile.ts';
import { applyLayer } from '../tree/apply-layer.ts';
import { emptyDirectory } from '../tree/layer-path.ts';
import { walk } from '../tree/walk.ts';
import { allContent, type ContentKey, contentKey, type WantedContent } from './place.ts';

type LayerContent = Pick<BlobMetadata, 'entries' | 'fileDigests'>;

/** For `dropHidden` and `trace`: what the layers come to when they are merged, known once every layer is unpacked. */
export class MergedContent {
  readonly wanted: Promise<WantedContent>;
  readonly #layers: (LayerContent | undefined)[];
  readonly #find: (layers: readonly LayerContent[]) => WantedContent;
  #resolve: (wanted: WantedContent) => void = () => undefined;
  #reject: (reason: unknown) => void = () => undefined;

  /**
   * @param count - of layers
   * @param dropHidden - whether only content that the merged tree reaches is wanted
   * @param trace - what goes first
   */
  constructor(count: number, dropHidden: boolean, trace: Profile | undefined) {
    this.#layers = Array.from({ length: count }, () => undefined);
    this.#find = (layers) => findWanted(layers, dropHidden, trace);
    this.wanted = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.wanted.catch(() => undefined);
  }

  /**
   * Hands in what an unpacked layer holds.
   * @throws {UsageError} SLUICE_OPTION_INVALID when the image has no file of the trace
   * @throws {FormatError} SLUICE_TREE_INVALID when the layers make no tree
   */
  add(layer: number, content: LayerContent): void {
    this.#layers[layer] = content;
    const known = this.#layers.flatMap((each) => each ?? []);
    if (known.length === this.#layers.length) this.#resolve(this.#find(known));
  }

  /** A layer will never be handed in. */
  fail(reason: unknown): void {
    this.#reject(reason);
  }
}

function findWanted(layers: readonly LayerContent[], dropHidden: boolean, trace: Profile | undefined): WantedContent {
  const root = emptyDirectory();
  for (const { entries } of layers) applyLayer(root, entries);
  return {
    keep: dropHidden ? isShown(root) : allContent.keep,
    hot: trace === undefined ? allContent.hot : findHot(root, layers, trace),
  };
}

/** Of an entry's extents, by identity: a list belongs to one entry. */
function isShown(root: DirectoryInode): WantedContent['keep'] {
  const shown = new Set<readonly Extent[]>();
  for (const { inode } of walk(root)) if (inode.kind === 'file') shown.add(inode.extents);
  return (extents) => shown.has(extents);
}

/** A path says which file is meant only in the merged tree; its content may be stored for another file's sake. */
function findHot(
  root: DirectoryInode,
  layers: readonly LayerContent[],
  { files, reads }: Profile,
): WantedContent['hot'] {
  const keys = new Map<readonly Extent[], ContentKey>();
  for (const { entries, fileDigests } of layers) {
    for (const [i, entry] of entries.entries()) {
      if (entry.kind === 'file') keys.set(entry.extents, contentKey(entry.extents, fileDigests.get(i)));
    }
  }
  const hot = new Map<ContentKey, number>();
  for (const { file } of reads) {
    const inode = findInode(root, files[file] ?? ('' as ByteString));
    const key = inode?.kind === 'file' ? keys.get(inode.extents) : undefined;
    if (key !== undefined && !hot.has(key)) hot.set(key, hot.size);
  }
  if (hot.size > 0) return hot;
  throw new UsageError(
    'SLUICE_OPTION_INVALID',
    `Cannot place first what a start reads: the image has none of the ${files.length} files of the trace`,
  );
}

function findInode(root: DirectoryInode, path: ByteString): Inode | undefined {
  let inode: Inode | undefined = root;
  for (const name of path.split('/').slice(1) as ByteString[]) {
    inode = inode?.kind === 'directory' ? inode.children.get(name) : undefined;
  }
  return inode;
}
