import type { ByteString } from '../byte-string.ts';
import type { Extent, InodeAttributes } from '../erofs/inode.ts';

interface EntryBase extends InodeAttributes {
  /** As the tar says it, not cleaned: the layer's rules for `.`, `..`, slashes and whiteouts apply later. */
  readonly path: ByteString;
}

export interface DirectoryEntry extends EntryBase {
  readonly kind: 'directory';
}

export interface FileEntry extends EntryBase {
  readonly kind: 'file';
  readonly size: number;
  /** Where the content lies; `device` counts the layers of the image, lowest first. Uncovered ranges are holes. */
  readonly extents: readonly Extent[];
}

export interface SymlinkEntry extends EntryBase {
  readonly kind: 'symlink';
  readonly target: ByteString;
}

/** Another name for what `target` names at this point of the layer; it may stand in a lower layer. */
export interface HardLinkEntry extends EntryBase {
  readonly kind: 'hardlink';
  readonly target: ByteString;
}

export interface SpecialEntry extends EntryBase {
  readonly kind: 'special';
  readonly major: number;
  readonly minor: number;
}

/**
 * One entry of a layer, in tar order: what is left of a tar header once the content has a place. A layer is a list,
 * not a tree, because what an entry means depends on the layers below and the entries before it.
 */
export type LayerEntry = DirectoryEntry | FileEntry | SymlinkEntry | HardLinkEntry | SpecialEntry;
