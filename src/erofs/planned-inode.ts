import { type ByteString, displayText } from '../byte-string.ts';
import { FormatError } from '../errors.ts';
import { type PackedDirectory, packDirectory, sortedNames } from './directory.ts';
import type { DataLayout } from './format.ts';
import {
  type DirectoryInode,
  type Inode,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  S_IFSOCK,
} from './inode.ts';
import { noBody, type XattrBody } from './xattr-table.ts';

/** An inode with its place in the image. */
export interface PlannedInode {
  readonly inode: Inode;
  readonly nlink: number;
  readonly nid: number;
  readonly layout: DataLayout;
  readonly xattrs: XattrBody;
  /** First block of its own, counted from the start of the data area. */
  readonly dataBlock: number;
  /** log2 of the blocks of a chunk. */
  readonly chunkBits: number;
  readonly directory: PackedDirectory | undefined;
}

/** The same while the layout pass fills it in: places come one inode after the other. */
export type PlannedInodeDraft = { -readonly [Key in keyof PlannedInode]: PlannedInode[Key] };

const kindTypes: Readonly<Record<Inode['kind'], readonly number[]>> = {
  directory: [S_IFDIR],
  file: [S_IFREG],
  symlink: [S_IFLNK],
  special: [S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK],
};

/**
 * Every inode of a tree once: the root, then directory by directory, depth first, each one's children in name order.
 * Links are counted and directories packed; places and xattrs are still to come.
 *
 * @throws {FormatError} SLUICE_EROFS_INVALID for a directory with two names, and for what EROFS cannot hold
 */
export function collectInodes(root: DirectoryInode): PlannedInodeDraft[] {
  const walk = new Walk(root);
  let more = true;
  while (more) more = walk.step();
  return walk.inodes;
}

interface OpenDirectory {
  readonly directory: DirectoryInode;
  readonly draft: PlannedInodeDraft;
  readonly parent: PlannedInodeDraft;
}

class Walk {
  readonly #drafts = new Map<Inode, PlannedInodeDraft>();
  readonly #open: OpenDirectory[];

  constructor(root: DirectoryInode) {
    const draft = newDraft(root);
    this.#drafts.set(root, draft);
    this.#open = [{ directory: root, draft, parent: draft }];
  }

  get inodes(): PlannedInodeDraft[] {
    return [...this.#drafts.values()];
  }

  /** Takes one directory; false when none is left. */
  step(): boolean {
    const next = this.#open.pop();
    if (next === undefined) return false;
    const { directory, draft, parent } = next;
    const below: OpenDirectory[] = [];
    const names = sortedNames(directory.children);
    const targets = names.map((name) => {
      const child = directory.children.get(name);
      if (child === undefined) return name === '.' ? draft : parent;
      const target = this.#link(child, name);
      if (child.kind === 'directory') below.push({ directory: child, draft: target, parent: draft });
      return target;
    });
    draft.nlink += below.length;
    draft.directory = packDirectory(names, targets);
    this.#open.push(...below.reverse());
    return true;
  }

  #link(inode: Inode, name: ByteString): PlannedInodeDraft {
    const known = this.#drafts.get(inode);
    if (known !== undefined && inode.kind === 'directory') {
      throw invalid(`directory "${displayText(name)}" has two names`);
    }
    const draft = known ?? newDraft(inode);
    if (known === undefined) this.#drafts.set(inode, draft);
    if (inode.kind !== 'directory') draft.nlink++;
    return draft;
  }
}

function newDraft(inode: Inode): PlannedInodeDraft {
  if (!kindTypes[inode.kind].includes(inode.mode & S_IFMT)) {
    throw invalid(`a ${inode.kind} cannot have mode 0${inode.mode.toString(8)}`);
  }
  if (!Number.isSafeInteger(inode.mtime) || !(inode.mtimeNs >= 0 && inode.mtimeNs < 1e9)) {
    throw invalid(`bad mtime ${inode.mtime} s and ${inode.mtimeNs} ns`);
  }
  if (inode.uid >>> 0 !== inode.uid || inode.gid >>> 0 !== inode.gid) {
    throw invalid(`bad owner ${inode.uid}:${inode.gid}`);
  }
  const nlink = inode.kind === 'directory' ? 2 : 0;
  return { inode, nlink, nid: 0, layout: 'plain', xattrs: noBody, dataBlock: 0, chunkBits: 0, directory: undefined };
}

/** An error about what EROFS cannot hold. */
export function invalid(reason: string): FormatError {
  return new FormatError('SLUICE_EROFS_INVALID', `Cannot write EROFS image: ${reason}`);
}
