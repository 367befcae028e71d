import path from 'node:path';
import type { ByteString } from '../../src/byte-string.ts';
import type { ImageFile, ImageFiles } from '../../src/prefetch/image-files.ts';

/** A file's content; a string that begins with `->` is a symbolic link. All are executable. */
export type MemoryTree = Readonly<Record<string, Uint8Array | string>>;

/** Files in memory, by absolute path. Counts what is read. */
export class MemoryFiles implements ImageFiles {
  readonly #tree: MemoryTree;
  readonly #paths: readonly string[];
  reads = 0;
  readBytes = 0;

  constructor(tree: MemoryTree) {
    this.#tree = tree;
    this.#paths = Object.keys(tree);
  }

  find(wanted: ByteString): ImageFile | undefined {
    let name = path.posix.normalize(`/${wanted}`);
    for (let links = 0; links < 10; links++) {
      const content = Object.hasOwn(this.#tree, name) ? this.#tree[name] : undefined;
      if (content === undefined) return undefined;
      if (typeof content !== 'string' || !content.startsWith('->')) {
        return {
          nid: this.#paths.indexOf(name) + 1,
          path: name as ByteString,
          size: content.length,
          mode: 0o100755,
          mtime: 0,
        };
      }
      name = path.posix.resolve(path.posix.dirname(name), content.slice(2));
    }
    return undefined;
  }

  async read({ path: name }: ImageFile, offset: number, length: number): Promise<Uint8Array> {
    const content = this.#tree[name] ?? '';
    const bytes = Buffer.from(typeof content === 'string' ? Buffer.from(content, 'latin1') : content);
    const part = bytes.subarray(offset, offset + length);
    this.reads++;
    this.readBytes += part.length;
    return part;
  }
}
