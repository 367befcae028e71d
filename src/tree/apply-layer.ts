import { type ByteString, displayText } from '../byte-string.ts';
import type { DirectoryInode, Inode } from '../erofs/inode.ts';
import { attributesFromEntry, inodeFromEntry, relinkInode } from './entry-inode.ts';
import type { HardLinkEntry, LayerEntry } from './layer-entry.ts';
import {
  checkName,
  cleanPath,
  descend,
  emptyDirectory,
  invalidTree,
  namesTo,
  type Place,
  pathOf,
  rootPlace,
  type Trail,
} from './layer-path.ts';

/** Stops a layer of a few compressed kilobytes from filling memory with millions of inodes. */
const maxInodes = 1 << 22;

/** Source: OCI image-spec 1.1, layer.md, Whiteouts. */
const whiteoutPrefix = '.wh.';
const opaqueMarker = '.wh..wh..opq';
/** AUFS kept its own books under such names (`.wh..wh.plnk`, `.wh..wh.aufs`); they are no part of the tree. */
const aufsPrefix = '.wh..wh.';

/**
 * Applies one layer to the merged tree of the layers below it, the way containerd unpacks it:
 *
 * - parents that are symbolic links of the same layer are followed, within the root; missing ones are made, 0755 and
 *   root's; where a lower layer has a link or file a directory takes its place, with the attributes of the directory
 *   the link led to: overlayfs lays a layer over the others by names, and never asks a lower link;
 * - a directory declared again takes the new attributes and keeps its children; anything else is replaced;
 * - a whiteout removes what stands there at that point of the layer, an opaque marker what lower layers put there,
 *   wherever in the layer it stands;
 * - a hard link may lead to a lower layer, and its header's attributes become those of the inode.
 *
 * Source: OCI image-spec 1.1, layer.md; containerd pkg/archive/tar.go, applyNaive and mkparent. Beyond containerd, `./`
 * sets the root's attributes, hard links reach lower layers, and `trusted.*` xattrs and times before 1970 are kept.
 * @param root - changed in place; after an error it is of no more use
 * @param entries - one layer's, in tar order; not changed. File extents and xattr values are shared with the tree
 * @throws {FormatError} SLUICE_TREE_INVALID for a layer no file system can be made of
 */
export function applyLayer(root: DirectoryInode, entries: Iterable<LayerEntry>): void {
  const application = new LayerApplication(root);
  for (const entry of entries) application.apply(entry);
  application.finish();
}

class LayerApplication implements Trail {
  readonly #root: Place;
  /** Names this layer put into a directory, or under which it put something: what opaque markers spare. */
  readonly #own = new Map<DirectoryInode, Set<ByteString>>();
  /** Directories that hold nothing of lower layers any more. Keeps a second marker from walking them again. */
  readonly #opaque = new Set<DirectoryInode>();
  readonly #aufs: { parent: Place; name: ByteString }[] = [];
  #inodes = 0;

  constructor(root: DirectoryInode) {
    this.#root = rootPlace(root);
  }

  apply(entry: LayerEntry): void {
    const names = cleanPath(entry.path);
    const name = names.pop();
    if (name === undefined) {
      if (entry.kind === 'directory') Object.assign(this.#root.directory, attributesFromEntry(entry));
      return;
    }
    const parent = descend(this.#root, names, this);
    if (name === opaqueMarker) this.#hideLower(parent.directory);
    else if (name.startsWith(whiteoutPrefix)) whiteOut(parent, name);
    else this.#add(parent, checkName(name), entry);
  }

  /** Hard links into AUFS's books hold throughout the layer; then the books go. */
  finish(): void {
    for (const { parent, name } of this.#aufs) parent.directory.children.delete(name);
  }

  isOwn(parent: Place, name: ByteString): boolean {
    return this.#own.get(parent.directory)?.has(name) === true;
  }

  makeDirectory(parent: Place, name: ByteString, hidden: Inode | undefined): DirectoryInode {
    const behind = hidden?.kind === 'symlink' ? descend(this.#root, namesTo(parent, name))?.directory : undefined;
    const directory: DirectoryInode = { ...(behind ?? emptyDirectory()), children: new Map() };
    this.#put(parent, name, directory);
    if (name.startsWith(aufsPrefix)) this.#aufs.push({ parent, name });
    return directory;
  }

  #add(parent: Place, name: ByteString, entry: LayerEntry): void {
    const { children } = parent.directory;
    const existing = children.get(name);
    if (existing?.kind === 'directory' && entry.kind === 'directory') {
      Object.assign(existing, attributesFromEntry(entry));
      this.#markOwn(parent, name);
      return;
    }
    // What stood there goes first: a hard link to itself, or into the directory it replaces, leads nowhere.
    children.delete(name);
    this.#put(parent, name, entry.kind === 'hardlink' ? this.#linked(entry) : inodeFromEntry(entry));
  }

  #put(parent: Place, name: ByteString, inode: Inode): void {
    this.#inodes += 1;
    if (this.#inodes > maxInodes) throw invalidTree(`it has more than ${maxInodes} files`);
    parent.directory.children.set(name, inode);
    this.#markOwn(parent, name);
  }

  /** Marks `name` and the way to it as this layer's; a name that is marked has its way marked. */
  #markOwn(parent: Place, name: ByteString): void {
    let child = name;
    for (let place: Place | undefined = parent; place !== undefined; place = place.parent) {
      const names = this.#own.get(place.directory);
      if (names?.has(child)) return;
      if (names === undefined) this.#own.set(place.directory, new Set([child]));
      else names.add(child);
      child = place.name;
    }
  }

  #hideLower(directory: DirectoryInode): void {
    const ahead = [directory];
    for (let next = ahead.pop(); next !== undefined; next = ahead.pop()) {
      if (this.#opaque.has(next)) continue;
      this.#opaque.add(next);
      const own = this.#own.get(next);
      for (const [name, inode] of next.children) {
        if (!own?.has(name)) next.children.delete(name);
        else if (inode.kind === 'directory') ahead.push(inode);
      }
    }
  }

  #linked(entry: HardLinkEntry): Inode {
    const names = cleanPath(entry.target);
    const name = names.pop();
    const parent = descend(this.#root, names);
    const inode = name === undefined ? parent?.directory : parent?.directory.children.get(name);
    const link = `hard link "${displayText(entry.path)}" to "${displayText(entry.target)}"`;
    if (inode === undefined) throw invalidTree(`${link} leads nowhere`);
    if (inode.kind === 'directory') throw invalidTree(`${link} leads to a directory`);
    relinkInode(inode, entry);
    return inode;
  }
}

function whiteOut(parent: Place, marker: ByteString): void {
  if (marker.startsWith(aufsPrefix)) return;
  const name = marker.slice(whiteoutPrefix.length) as ByteString;
  if (name === '' || name === '.' || name === '..') {
    throw invalidTree(`whiteout ${pathOf(parent, marker)} names no file`);
  }
  parent.directory.children.delete(name);
}
