import { type ByteString, displayText } from '../byte-string.ts';
import { S_IFDIR, S_IFLNK, S_IFMT } from '../erofs/inode.ts';
import type { ErofsInode } from '../erofs/inode-reader.ts';
import type { ErofsReader } from '../erofs/reader.ts';
import { NotFoundError } from '../errors.ts';

/** Stops symbolic links that lead in circles. Linux gives up after as many (MAXSYMLINKS). */
const maximumLinks = 40;
/** Stops a path of thousands of names, each a search in a directory, from being typed or linked to. PATH_MAX of Linux. */
const maximumPathBytes = 4096;

/** An inode of an image and where it stands. */
export interface ResolvedPath {
  /** From the root, without slashes at either end and without symbolic links on the way; empty for the root. */
  readonly path: ByteString;
  readonly inode: ErofsInode;
}

/** Whether a last name that is a symbolic link stands for the link or for what it leads to. */
export type LastLink = 'follow' | 'keep';

/**
 * Finds what a path leads to, as the kernel would in a process whose root is the image's: symbolic links are followed
 * within the image, an absolute one from its root, and `..` of the root is the root. A slash at the end asks for a
 * directory, through a link too.
 *
 * @param path - absolute or not, which is the same
 * @throws {NotFoundError} SLUICE_PATH_NOT_FOUND, also for links in circles and for what lies below a file
 * @throws {FormatError} SLUICE_EROFS_* for a broken image
 */
export function resolvePath(erofs: ErofsReader, path: ByteString, lastLink: LastLink): ResolvedPath {
  const resolver = new PathResolver(erofs, path);
  return resolver.resolve(lastLink === 'follow' || path.endsWith('/'));
}

class PathResolver {
  readonly #erofs: ErofsReader;
  readonly #wanted: ByteString;
  /** Names still to go, the next one last. */
  readonly #ahead: ByteString[] = [];
  /** The way down so far; the root is below its first name. */
  readonly #names: ByteString[] = [];
  readonly #inodes: ErofsInode[];
  #links = 0;

  constructor(erofs: ErofsReader, wanted: ByteString) {
    this.#erofs = erofs;
    this.#wanted = wanted;
    this.#inodes = [erofs.inode(erofs.rootNid)];
    this.#push(wanted);
  }

  resolve(followLast: boolean): ResolvedPath {
    for (let name = this.#ahead.pop(); name !== undefined; name = this.#ahead.pop()) {
      if (!this.#isDirectory()) throw this.#notFound(`"${displayText(this.#path())}" is no directory`);
      if (name === '..') this.#up();
      else this.#step(name, followLast || this.#ahead.length > 0);
    }
    if (this.#wanted.endsWith('/') && !this.#isDirectory()) throw this.#notFound('it is no directory');
    return { path: this.#path(), inode: this.#inode() };
  }

  #step(name: ByteString, follow: boolean): void {
    const nid = this.#erofs.lookup(this.#inode().nid, name);
    if (nid === undefined) throw this.#notFound('there is no such file in the image');
    const inode = this.#erofs.inode(nid);
    if (follow && (inode.mode & S_IFMT) === S_IFLNK) {
      this.#links += 1;
      if (this.#links > maximumLinks) throw this.#notFound(`it leads through more than ${maximumLinks} symbolic links`);
      this.#follow(this.#erofs.readlink(nid));
      return;
    }
    this.#names.push(name);
    this.#inodes.push(inode);
  }

  #follow(target: ByteString): void {
    if (target.startsWith('/')) {
      this.#names.length = 0;
      this.#inodes.length = 1;
    }
    this.#push(target);
  }

  #push(path: ByteString): void {
    if (path.length > maximumPathBytes) throw this.#notFound(`a path of ${path.length} bytes is none`);
    const names = path.split('/').filter((name) => name !== '' && name !== '.') as ByteString[];
    this.#ahead.push(...names.reverse());
  }

  #up(): void {
    if (this.#names.pop() !== undefined) this.#inodes.pop();
  }

  #inode(): ErofsInode {
    return this.#inodes.at(-1) as ErofsInode;
  }

  #isDirectory(): boolean {
    return (this.#inode().mode & S_IFMT) === S_IFDIR;
  }

  #path(): ByteString {
    return this.#names.join('/') as ByteString;
  }

  #notFound(why: string): NotFoundError {
    const path = displayText(this.#wanted.slice(0, 300) as ByteString);
    return new NotFoundError('SLUICE_PATH_NOT_FOUND', `Cannot find "${path}": ${why}`, { facts: { path } });
  }
}
