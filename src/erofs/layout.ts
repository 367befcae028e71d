import { checkExtents, chooseChunkBits, chunkSize } from './chunk-map.ts';
import {
  BLOCK_SIZE,
  CHUNK_INDEX_SIZE,
  type DataLayout,
  DEVICE_SLOT_SIZE,
  EXTENDED_INODE_SIZE,
  roundUp,
  SLOT_SIZE,
  TARGET_MAX,
} from './format.ts';
import type { DirectoryInode, FileInode } from './inode.ts';
import { collectInodes, invalid, type PlannedInode, type PlannedInodeDraft } from './planned-inode.ts';
import { DEVICE_TABLE_OFFSET, type DeviceSlot } from './superblock.ts';
import { XattrTable } from './xattr-table.ts';

/** Where everything lies, in blocks: superblock and devices, shared xattrs, inodes, data, one after the other. */
export interface ImageLayout {
  readonly inodes: readonly PlannedInode[];
  readonly xattrs: XattrTable;
  readonly xattrBlkaddr: number;
  readonly metaBlkaddr: number;
  readonly dataBlkaddr: number;
  readonly blocks: number;
}

/** Stops a tar of a few bytes whose sparse files, cut at every 4096 bytes, would need gigabytes of chunk indexes. */
const maxImageSize = 2 ** 30;

/**
 * Decides where everything lies. Inodes stand directory by directory, depth first, each directory's children in name
 * order, so that `ls -l` reads neighbours and similar inodes lie within reach of a compressor.
 *
 * @throws {FormatError} SLUICE_EROFS_INVALID for what EROFS cannot hold
 */
export function planLayout(root: DirectoryInode, devices: readonly DeviceSlot[]): ImageLayout {
  const drafts = collectInodes(root);
  const xattrs = new XattrTable(drafts.map(({ inode }) => inode));
  const slots = new SlotAllocator();
  let dataBlocks = 0;
  for (const draft of drafts) {
    draft.xattrs = xattrs.bodyOf(draft.inode.xattrs);
    const content = contentOf(draft, devices);
    draft.layout = content.layout;
    draft.chunkBits = content.chunkBits;
    draft.dataBlock = dataBlocks;
    dataBlocks += content.blocks;
    draft.nid = slots.allocate(content.size, content.layout === 'inline') / SLOT_SIZE;
    checkImageSize(slots.size + dataBlocks * BLOCK_SIZE);
  }
  const xattrBlkaddr = blocksOf(DEVICE_TABLE_OFFSET + devices.length * DEVICE_SLOT_SIZE);
  const metaBlkaddr = xattrBlkaddr + blocksOf(xattrs.sharedSize);
  const dataBlkaddr = metaBlkaddr + blocksOf(slots.size);
  const blocks = dataBlkaddr + dataBlocks;
  checkImageSize(blocks * BLOCK_SIZE);
  return { inodes: drafts, xattrs, xattrBlkaddr, metaBlkaddr, dataBlkaddr, blocks };
}

/** What an inode takes: bytes among the inodes (itself, xattrs, tail or indexes), and blocks of its own. */
interface Content {
  readonly layout: DataLayout;
  readonly size: number;
  readonly blocks: number;
  readonly chunkBits: number;
}

function contentOf({ inode, xattrs, directory }: PlannedInodeDraft, devices: readonly DeviceSlot[]): Content {
  const head = EXTENDED_INODE_SIZE + xattrs.size;
  switch (inode.kind) {
    case 'directory':
      return flatContent(head, directory?.size ?? 0);
    case 'symlink':
      if (inode.target.length === 0 || inode.target.length > TARGET_MAX || inode.target.includes('\0')) {
        throw invalid(`bad symlink target of ${inode.target.length} bytes`);
      }
      return flatContent(head, inode.target.length);
    case 'file':
      return fileContent(head, inode, devices);
    case 'special':
      if (inode.major >>> 12 !== 0 || inode.minor >>> 20 !== 0) {
        throw invalid(`bad device number ${inode.major}:${inode.minor}`);
      }
      return { layout: 'plain', size: head, blocks: 0, chunkBits: 0 };
  }
}

/**
 * The tail goes behind the inode where both fit one block: the kernel reads inline data from the block the inode
 * ends in and refuses what crosses it.
 */
function flatContent(head: number, size: number): Content {
  const tail = size % BLOCK_SIZE;
  const inline = tail > 0 && head + tail <= BLOCK_SIZE;
  return inline
    ? { layout: 'inline', size: head + tail, blocks: Math.floor(size / BLOCK_SIZE), chunkBits: 0 }
    : { layout: 'plain', size: head, blocks: blocksOf(size), chunkBits: 0 };
}

function fileContent(head: number, file: FileInode, devices: readonly DeviceSlot[]): Content {
  if (!Number.isSafeInteger(file.size) || file.size < 0) throw invalid(`bad file size ${file.size}`);
  checkExtents(file, devices);
  if (file.size === 0) return { layout: 'plain', size: head, blocks: 0, chunkBits: 0 };
  const chunkBits = chooseChunkBits(file);
  const indexes = Math.ceil(file.size / chunkSize(chunkBits)) * CHUNK_INDEX_SIZE;
  return { layout: 'chunk', size: roundUp(head, CHUNK_INDEX_SIZE) + indexes, blocks: 0, chunkBits };
}

/** Hands out places among the inodes, and fills the gap that the last inode that must not cross a block left. */
class SlotAllocator {
  #end = 0;
  #gap = { start: 0, end: 0 };

  /** Bytes handed out, gaps included. */
  get size(): number {
    return this.#end;
  }

  /** @param whole - whether all of `size` has to lie in one block */
  allocate(size: number, whole: boolean): number {
    const length = roundUp(size, SLOT_SIZE);
    if (length <= this.#gap.end - this.#gap.start) {
      const { start } = this.#gap;
      this.#gap.start += length;
      return start;
    }
    let start = this.#end;
    if (whole && (start % BLOCK_SIZE) + length > BLOCK_SIZE) {
      start = roundUp(start, BLOCK_SIZE);
      this.#gap = { start: this.#end, end: start };
    }
    this.#end = start + length;
    return start;
  }
}

function blocksOf(size: number): number {
  return Math.ceil(size / BLOCK_SIZE);
}

function checkImageSize(size: number): void {
  if (size > maxImageSize) throw invalid(`metadata of more than ${maxImageSize} bytes`);
}
