import type { Bootstrap } from '../bootstrap/bootstrap.ts';
import { PAGE_SIZE } from '../chunk/parameters.ts';
import type { HotPiece, HotView } from '../hot/hot-view.ts';

/** As much as one call puts into the page cache: the kernel copies it in one go. */
const maximumPages = 64;

/** Puts pages where readers find them. @returns false when nobody knows the file any more */
export type StorePages = (nid: number, fileOffset: number, content: Uint8Array) => boolean;

interface WantedFile {
  readonly nid: number;
  readonly size: number;
  /** Those that were not pushed yet, in file order. */
  pieces: FilePiece[];
}

interface FilePiece extends HotPiece {
  readonly fileOffset: number;
}

/** Pushes the hot pages of files somebody has begun to read, as soon as they are there, each of them once. */
export class PagePusher {
  readonly #bootstrap: Bootstrap;
  readonly #hot: HotView;
  readonly #store: StorePages;
  #files: WantedFile[] = [];

  constructor(bootstrap: Bootstrap, hot: HotView, store: StorePages) {
    this.#bootstrap = bootstrap;
    this.#hot = hot;
    this.#store = store;
  }

  /** Somebody reads file `nid`: what is hot of it is wanted. */
  want(nid: number): void {
    const { erofs } = this.#bootstrap;
    const { size } = erofs.inode(nid);
    const pieces = erofs.mapRange(nid, 0, size).flatMap((segment) => {
      if (segment.kind !== 'device') return [];
      const { device, deviceOffset, fileOffset, length } = segment;
      return this.#hot
        .pieces(device, deviceOffset, length)
        .map((piece) => ({ ...piece, fileOffset: fileOffset + piece.offset }));
    });
    if (pieces.length > 0) this.#files.push({ nid, size, pieces });
  }

  /** Pushes what has become readable. */
  push(): void {
    for (const file of this.#files) this.#pushFile(file);
    this.#files = this.#files.filter(({ pieces }) => pieces.length > 0);
  }

  #pushFile(file: WantedFile): void {
    const left: FilePiece[] = [];
    for (const piece of file.pieces) {
      if (!this.#hot.isReady(piece)) left.push(piece);
      else if (!this.#pushPiece(file, piece)) {
        file.pieces = [];
        return;
      }
    }
    file.pieces = left;
  }

  #pushPiece({ nid, size }: WantedFile, { fileOffset, slot, pages }: FilePiece): boolean {
    for (let done = 0; done < pages; done += maximumPages) {
      const offset = fileOffset + done * PAGE_SIZE;
      const length = Math.min(Math.min(maximumPages, pages - done) * PAGE_SIZE, size - offset);
      if (length > 0 && !this.#store(nid, offset, this.#hot.content(slot + done, length))) return false;
    }
    return true;
  }
}
