import { setImmediate as turn } from 'node:timers/promises';
import type { ByteString } from '../byte-string.ts';
import { S_IFDIR, S_IFMT } from '../erofs/inode.ts';
import type { ErofsReader } from '../erofs/reader.ts';

/** Directories listed in one turn of the event loop: about a millisecond. */
const DIRECTORIES_PER_TURN = 32;

/** An image of more names goes without: the index would cost more than it brings. A second of listing, 20 MB. */
const MAXIMUM_NAMES = 500_000;

/** Stops a tree whose directories contain one another. PATH_MAX of Linux, in names. */
const MAXIMUM_DEPTH = 2048;

/** In which directory each file of an image is: EROFS does not say. */
export class FileIndex {
  readonly #erofs: ErofsReader;
  readonly #parents: ReadonlyMap<number, number>;

  private constructor(erofs: ErofsReader, parents: ReadonlyMap<number, number>) {
    this.#erofs = erofs;
    this.#parents = parents;
  }

  /**
   * Lists the whole tree, a little at a time.
   * @throws {FormatError} SLUICE_EROFS_* for a broken image
   * @throws the signal's reason
   */
  static async build(erofs: ErofsReader, signal: AbortSignal): Promise<FileIndex> {
    const parents = new Map<number, number>();
    const ahead = [erofs.rootNid];
    for (let listed = 1; ahead.length > 0 && parents.size < MAXIMUM_NAMES; listed++) {
      const directory = ahead.pop() ?? erofs.rootNid;
      for (const { name, nid } of erofs.readDirectory(directory)) {
        // A name seen before is a hard link, or a tree that bites its tail.
        if (name === '.' || name === '..' || parents.has(nid)) continue;
        parents.set(nid, directory);
        if ((erofs.inode(nid).mode & S_IFMT) === S_IFDIR) ahead.push(nid);
      }
      if (listed % DIRECTORIES_PER_TURN === 0) await turn(undefined, { signal });
    }
    return new FileIndex(erofs, parents);
  }

  /** @returns the directory's nid; undefined for the root */
  directoryOf(nid: number): number | undefined {
    return this.#parents.get(nid);
  }

  /** From the root, with a slash in front. */
  pathOf(nid: number): ByteString {
    const names: string[] = [];
    let at = nid;
    for (let depth = 0; depth < MAXIMUM_DEPTH; depth++) {
      const directory = this.#parents.get(at);
      if (directory === undefined) break;
      names.push(this.#nameIn(directory, at));
      at = directory;
    }
    return `/${names.reverse().join('/')}` as ByteString;
  }

  #nameIn(directory: number, nid: number): string {
    for (const item of this.#erofs.readDirectory(directory)) if (item.nid === nid) return item.name;
    return '';
  }
}
