import type { ByteString } from '../byte-string.ts';
import { type DirectoryItem, findName, listDirectory } from './directory-reader.ts';
import { listExtents, mapFile, type Segment } from './file-reader.ts';
import { readLink } from './flat-data.ts';
import { ImageView, invalid } from './image-view.ts';
import { type DirectoryInode, type Extent, S_IFDIR, S_IFMT, S_IFREG } from './inode.ts';
import { type ErofsInode, readInode } from './inode-reader.ts';
import type { DeviceSlot, Superblock } from './superblock.ts';
import { readTree } from './tree-reader.ts';
import { listXattrs, readXattr } from './xattr-reader.ts';

/**
 * Reads an uncompressed EROFS image: its own writer's, and those of mkfs.erofs with blocks of 4096 bytes. Stateless
 * after construction, so any number of threads may read one image.
 *
 * Nothing in the image is trusted: each method throws FormatError, code SLUICE_EROFS_INVALID, _OUT_OF_BOUNDS or
 * _UNSUPPORTED, rather than read outside it, and takes time in proportion to the image and its answer.
 */
export class ErofsReader {
  readonly #image: ImageView;

  /**
   * Checks superblock, checksum, device table and root.
   *
   * @param image - kept as a view; may lie on a SharedArrayBuffer, and nothing may write to it any more
   */
  constructor(image: Uint8Array) {
    this.#image = new ImageView(image);
    this.#directory(this.rootNid);
  }

  get superblock(): Superblock {
    return this.#image.superblock;
  }

  get rootNid(): number {
    return this.#image.superblock.rootNid;
  }

  get devices(): readonly DeviceSlot[] {
    return this.#image.superblock.devices;
  }

  /** As the superblock says; hard links count once. */
  get inodeCount(): number {
    return this.#image.superblock.inodeCount;
  }

  inode(nid: number): ErofsInode {
    return readInode(this.#image, nid);
  }

  /** Finds one name, `.` and `..` too, by binary search. */
  lookup(directoryNid: number, name: ByteString): number | undefined {
    return findName(this.#image, this.#directory(directoryNid), name);
  }

  /**
   * The names of a directory in byte order, `.` and `..` in their places.
   *
   * @param startIndex - 0, or one more than the `index` of the last item seen
   */
  readDirectory(nid: number, startIndex = 0): Iterable<DirectoryItem> {
    return listDirectory(this.#image, this.#directory(nid), startIndex);
  }

  readlink(nid: number): ByteString {
    return readLink(this.#image, this.inode(nid));
  }

  /** @returns full names, and copies of the values */
  xattrs(nid: number): Map<ByteString, Uint8Array> {
    const { bytes } = this.#image;
    const pairs = listXattrs(this.#image, this.inode(nid), (offset) => readXattr(this.#image, offset, bytes.length));
    return new Map(Array.from(pairs, ({ name, value }) => [name, value] as const));
  }

  /** All data of a file that lies in devices, runs joined; holes are what is left out. */
  extents(nid: number): Extent[] {
    return listExtents(this.#image, this.#file(nid));
  }

  /**
   * Says where the bytes of a file are found, in order and without gaps, up to `length` or the end of the file.
   * Inline segments are views of the image.
   */
  mapRange(nid: number, offset: number, length: number): Segment[] {
    return mapFile(this.#image, this.#file(nid), offset, length);
  }

  /** The whole image as a tree, a new one. Names of one nid share one inode. */
  tree(): DirectoryInode {
    return readTree(this.#image);
  }

  #directory(nid: number): ErofsInode {
    return this.#inodeOfType(nid, S_IFDIR, 'directory');
  }

  #file(nid: number): ErofsInode {
    return this.#inodeOfType(nid, S_IFREG, 'regular file');
  }

  #inodeOfType(nid: number, type: number, what: string): ErofsInode {
    const inode = readInode(this.#image, nid);
    if ((inode.mode & S_IFMT) !== type) throw invalid(`nid ${nid} is no ${what}`, { nid });
    return inode;
  }
}
