import { ColumnWriter } from '../blob/column.ts';
import type { PageRun } from '../bootstrap/page-run.ts';
import { PAGE_SIZE } from '../chunk/parameters.ts';
import { compress } from '../zstd/codec.ts';
import { skippableFrame } from '../zstd/frame.ts';
import type { DeviceTree } from './device-tree.ts';
import { HOT_HEADER_SIZE, HOT_MAGIC, HOT_VERSION, hotHeader } from './format.ts';
import { divideIntoGroups, HashBlockPlan, type HotHashBlock } from './groups.ts';

/**
 * Hot blobs are made once and are what a start waits for. Measured on python's 11.0 MB: 3.88 MB at level 5, 3.66 at 12,
 * 3.52 at 15, 3.48 at 19, which takes 1.6 s (ADR-0007).
 */
const hotLevel = 19;

/** What a hot blob is made of. */
export interface HotContent {
  /** Of every device of the image, in the order of the bootstrap. */
  readonly trees: readonly DeviceTree[];
  /** Pages within their devices, in the order of access; a page that comes again counts once. */
  readonly runs: readonly PageRun[];
  /** @returns the bytes of these pages, used until it is called again */
  readonly readPages: (run: PageRun) => Promise<Uint8Array>;
}

/** A hot blob, finished. */
export interface WrittenHotBlob {
  readonly bytes: Uint8Array;
  /** Pages in it; fewer than were asked for when those are more than a hot blob may hold. */
  readonly pages: number;
  /** Bytes of it that are hash blocks. */
  readonly hashBytes: number;
}

interface Group {
  readonly runs: readonly PageRun[];
  /** Empty when every hash block it needs is there already. */
  readonly hashFrame: Uint8Array;
  readonly dataFrame: Uint8Array;
}

/**
 * Writes a hot blob. The same content gives the same bytes.
 * @throws what `readPages` throws
 */
export async function writeHotBlob({ trees, runs, readPages }: HotContent): Promise<WrittenHotBlob> {
  const plan = new HashBlockPlan(trees.map(({ size }) => size));
  const groups: Group[] = [];
  for (const part of divideIntoGroups(runs)) {
    const hashFrame = writeHashFrame(trees, plan.next(part));
    groups.push({ runs: part, hashFrame, dataFrame: compress(await collectPages(part, readPages), hotLevel) });
  }
  const pages = groups.reduce((sum, group) => sum + pagesOf(group.runs), 0);
  const hashBytes = groups.reduce((sum, { hashFrame }) => sum + hashFrame.length, 0);
  const frames = groups.flatMap(({ hashFrame, dataFrame }) => [hashFrame, dataFrame]);
  return { bytes: Buffer.concat([writeIndexFrame(trees, groups), ...frames]), pages, hashBytes };
}

const pagesOf = (runs: readonly PageRun[]): number => runs.reduce((sum, run) => sum + run.pages, 0);

async function collectPages(runs: readonly PageRun[], readPages: HotContent['readPages']): Promise<Uint8Array> {
  const bytes = new Uint8Array(pagesOf(runs) * PAGE_SIZE);
  let filled = 0;
  for (const run of runs) {
    const content = await readPages(run);
    if (content.length !== run.pages * PAGE_SIZE) {
      throw new RangeError(`Cannot write hot blob: ${content.length} bytes for ${run.pages} pages`);
    }
    bytes.set(content, filled);
    filled += content.length;
  }
  return bytes;
}

function writeHashFrame(trees: readonly DeviceTree[], blocks: readonly HotHashBlock[]): Uint8Array {
  if (blocks.length === 0) return new Uint8Array(0);
  return skippableFrame(Buffer.concat(blocks.map((block) => treeOf(trees, block.device).hashBlock(block))));
}

function treeOf(trees: readonly DeviceTree[], device: number): DeviceTree {
  const tree = trees[device];
  if (tree === undefined) throw new RangeError(`Cannot write hot blob: there is no device ${device}`);
  return tree;
}

/** Layout: docs/format.md, "Hot blob". */
function writeIndexFrame(trees: readonly DeviceTree[], groups: readonly Group[]): Uint8Array {
  const index = new ColumnWriter();
  const used = [...new Set(groups.flatMap(({ runs }) => runs.map((run) => run.device)))].sort((a, b) => a - b);
  index.number(used.length);
  for (const device of used) {
    index.number(device);
    index.bytes(treeOf(trees, device).rootHash);
  }
  index.number(groups.length);
  for (const { runs, dataFrame } of groups) writeGroup(index, runs, dataFrame.length);
  const head = Buffer.alloc(HOT_HEADER_SIZE);
  head.write(HOT_MAGIC, hotHeader.magic, 'latin1');
  head.writeUInt32LE(HOT_VERSION, hotHeader.version);
  head.writeUInt32LE(index.written.length, hotHeader.indexSize);
  return skippableFrame(Buffer.concat([head, compress(index.written, hotLevel)]));
}

/** The runs of a group ascend, so what is written is how far each lies behind the end of the one before. */
function writeGroup(index: ColumnWriter, runs: readonly PageRun[], frameLength: number): void {
  index.number(frameLength);
  index.number(runs.length);
  let [device, end] = [0, 0];
  for (const run of runs) {
    if (run.device !== device) end = 0;
    index.number(run.device - device);
    index.number(run.page - end);
    index.number(run.pages);
    device = run.device;
    end = run.page + run.pages;
  }
}
