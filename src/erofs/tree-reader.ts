import type { ByteString } from '../byte-string.ts';
import { listDirectory } from './directory-reader.ts';
import { indexBytes, listExtents } from './file-reader.ts';
import { readLink } from './flat-data.ts';
import { EXTENDED_INODE_SIZE } from './format.ts';
import { type ImageView, invalid } from './image-view.ts';
import {
  type DirectoryInode,
  type Inode,
  type InodeAttributes,
  noXattrs,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
} from './inode.ts';
import { type ErofsInode, readInode } from './inode-reader.ts';
import { listXattrs, readXattr, type StoredXattr } from './xattr-reader.ts';

/**
 * Reads a whole image back as a tree. Names of one nid share one inode; equal shared xattrs share one value.
 * Time and memory are linear in the image's size, whatever it says.
 *
 * @throws {FormatError} SLUICE_EROFS_* for anything a writer of trees cannot have meant
 */
export function readTree(image: ImageView): DirectoryInode {
  return new TreeReader(image).read();
}

interface OpenDirectory {
  readonly source: ErofsInode;
  readonly directory: DirectoryInode;
}

class TreeReader {
  readonly #image: ImageView;
  readonly #inodes = new Map<number, Inode>();
  readonly #shared = new Map<number, StoredXattr>();
  readonly #open: OpenDirectory[] = [];
  /**
   * Bytes of structures not yet read. Without it, inodes that share one big directory, index array or xattr would
   * make a small image expand without end: in an honest one no byte belongs to two structures.
   */
  #unread: number;

  constructor(image: ImageView) {
    this.#image = image;
    this.#unread = image.bytes.length;
  }

  read(): DirectoryInode {
    const root = this.#inode(this.#image.superblock.rootNid);
    if (root.kind !== 'directory') throw invalid('the root is no directory');
    for (let next = this.#open.pop(); next !== undefined; next = this.#open.pop()) {
      this.#spend(next.source.size);
      for (const { name, nid } of listDirectory(this.#image, next.source, 0)) {
        if (name !== '.' && name !== '..') next.directory.children.set(name, this.#inode(nid));
      }
    }
    return root;
  }

  #inode(nid: number): Inode {
    const known = this.#inodes.get(nid);
    if (known !== undefined) {
      // A loop, or a second path to a whole subtree.
      if (known.kind === 'directory') throw invalid(`directory ${nid} has two names`, { nid });
      return known;
    }
    const source = readInode(this.#image, nid);
    this.#spend(EXTENDED_INODE_SIZE / 2 + source.xattrSize + indexBytes(source));
    const inode = this.#decode(source);
    this.#inodes.set(nid, inode);
    if (inode.kind === 'directory') this.#open.push({ source, directory: inode });
    return inode;
  }

  #decode(source: ErofsInode): Inode {
    const { mode, uid, gid, mtime, mtimeNs, size, rdev } = source;
    const attributes: InodeAttributes = { mode, uid, gid, mtime, mtimeNs, xattrs: this.#xattrs(source) };
    switch (mode & S_IFMT) {
      case S_IFDIR:
        return { kind: 'directory', ...attributes, children: new Map() };
      case S_IFREG:
        return { kind: 'file', ...attributes, size, extents: listExtents(this.#image, source) };
      case S_IFLNK:
        return { kind: 'symlink', ...attributes, target: readLink(this.#image, source) };
      default:
        return { kind: 'special', ...attributes, ...rdev };
    }
  }

  #xattrs(source: ErofsInode): ReadonlyMap<ByteString, Uint8Array> {
    if (source.xattrSize === 0) return noXattrs;
    const pairs = listXattrs(this.#image, source, (offset) => this.#sharedXattr(offset));
    return new Map(Array.from(pairs, ({ name, value }) => [name, value] as const));
  }

  #sharedXattr(offset: number): StoredXattr {
    const known = this.#shared.get(offset);
    if (known !== undefined) return known;
    const xattr = readXattr(this.#image, offset, this.#image.bytes.length);
    this.#spend(xattr.end - offset);
    this.#shared.set(offset, xattr);
    return xattr;
  }

  #spend(bytes: number): void {
    this.#unread -= bytes;
    if (this.#unread < 0) throw invalid('its structures overlap');
  }
}
