import type { ByteString } from '../byte-string.ts';
import {
  maximumFiles,
  maximumPages,
  maximumPathBytes,
  maximumReads,
  type Profile,
  type ProfileRead,
} from './profile.ts';

/** What a profile says besides what is read. */
export type ProfileHead = Pick<Profile, 'name' | 'root' | 'runs' | 'pageExact'>;

interface BuiltFile {
  readonly index: number;
  readonly pages: Set<number>;
}

/**
 * Puts a profile together page by page: each page counts once, pages that follow each other become one run. What goes
 * beyond the limits of a profile is left out, which is the end of what was read.
 */
export class ProfileBuilder {
  readonly #files = new Map<ByteString, BuiltFile>();
  readonly #reads: { file: number; page: number; pages: number }[] = [];
  #pages = 0;
  #pathBytes = 0;

  /** @param path - absolute, without symbolic links */
  add(path: ByteString, page: number): void {
    if (this.#pages === maximumPages) return;
    const file = this.#files.get(path) ?? this.#addFile(path);
    if (file === undefined || file.pages.has(page)) return;
    const last = this.#reads.at(-1);
    if (last?.file === file.index && last.page + last.pages === page) last.pages += 1;
    else if (this.#reads.length < maximumReads) this.#reads.push({ file: file.index, page, pages: 1 });
    else return;
    file.pages.add(page);
    this.#pages += 1;
  }

  /** @returns what was added up to now, a copy */
  build(head: ProfileHead): Profile {
    const reads: ProfileRead[] = this.#reads.map((read) => ({ ...read }));
    const { name, root, runs, pageExact } = head;
    return { name, root, runs, pageExact, files: [...this.#files.keys()], reads };
  }

  #addFile(path: ByteString): BuiltFile | undefined {
    const isFull =
      this.#files.size === maximumFiles ||
      this.#reads.length === maximumReads ||
      this.#pathBytes + path.length > maximumPathBytes;
    if (isFull) return undefined;
    const file = { index: this.#files.size, pages: new Set<number>() };
    this.#files.set(path, file);
    this.#pathBytes += path.length;
    return file;
  }
}
