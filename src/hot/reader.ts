import { ColumnReader } from '../blob/column.ts';
import type { PageRun } from '../bootstrap/page-run.ts';
import { PAGE_SIZE } from '../chunk/parameters.ts';
import { HASH_SIZE, MERKLE_BLOCK_SIZE } from '../digest/merkle-format.ts';
import { PageVerifier } from '../digest/page-verifier.ts';
import { FormatError } from '../errors.ts';
import { decompress } from '../zstd/codec.ts';
import { readFrameHeader } from '../zstd/frame.ts';
import {
  HOT_HEADER_SIZE,
  HOT_MAGIC,
  HOT_VERSION,
  hotHeader,
  maximumFrameOverhead,
  maximumGroupPages,
  maximumHotPages,
  maximumIndexSize,
  SKIPPABLE_HEADER_SIZE,
} from './format.ts';
import { HashBlockPlan, type HotHashBlock, pageKey } from './groups.ts';

/** What is trusted of a device image: the bootstrap's. */
export interface HotDevice {
  /** Bytes, whole pages. */
  readonly size: number;
  /** fs-verity digest, 32 bytes. */
  readonly verityDigest: Uint8Array;
}

/** Pages that are compressed together, and so are there at once. */
export interface HotGroup {
  /** Ascending by device and page. */
  readonly runs: readonly PageRun[];
  /** Of all runs. */
  readonly pages: number;
  /** What the hash frame brings; there is none when this is empty. */
  readonly hashBlocks: readonly HotHashBlock[];
  /** Where it begins in the hot blob, bytes. */
  readonly offset: number;
  readonly hashFrameLength: number;
  readonly dataFrameLength: number;
}

/** A run of pages and where its content goes: pages have slots in the order in which they come. */
export interface HotRun {
  /** The {@link pageKey} of the first page. */
  readonly key: number;
  readonly pages: number;
  readonly slot: number;
}

/** The index of a hot blob: what it says it will bring. No page occurs twice, none lies outside of its device. */
export interface HotIndex {
  /** In the order in which they come. */
  readonly groups: readonly HotGroup[];
  /** All runs of all groups, ascending by key. */
  readonly runs: readonly HotRun[];
  /** Of the whole blob, bytes. */
  readonly size: number;
  /** By device: takes the hash blocks, then the pages. */
  readonly verifiers: ReadonlyMap<number, PageVerifier>;
}

/**
 * How long the index frame is.
 * @param start - the first `SKIPPABLE_HEADER_SIZE` bytes of a hot blob
 * @throws {FormatError} SLUICE_HOT_BLOB_INVALID, SLUICE_ZSTD_INVALID
 */
export function indexFrameLength(start: Uint8Array): number {
  const header = readFrameHeader(start);
  if (header?.kind !== 'skippable') throw invalid('it does not begin with an index');
  if (!(header.payloadLength >= HOT_HEADER_SIZE && header.payloadLength <= maximumIndexSize)) {
    throw invalid(`its index has ${header.payloadLength} bytes`);
  }
  return SKIPPABLE_HEADER_SIZE + header.payloadLength;
}

/**
 * Decodes the index of a hot blob. Whoever may attach one to an image is not trusted with its content: the index says
 * what will come, and each page is verified when it does.
 *
 * @param frame - the index frame, whole
 * @param devices - of the image, in the order of the bootstrap
 * @throws {FormatError} SLUICE_HOT_BLOB_INVALID, SLUICE_ZSTD_*, and SLUICE_BLOB_INVALID where it is cut short
 * @throws {IntegrityError} SLUICE_MERKLE_MISMATCH when it is another image's
 */
export function parseHotIndex(frame: Uint8Array, devices: readonly HotDevice[]): HotIndex {
  const head = Buffer.from(frame.buffer, frame.byteOffset + SKIPPABLE_HEADER_SIZE, HOT_HEADER_SIZE);
  if (head.toString('latin1', 0, HOT_MAGIC.length) !== HOT_MAGIC) throw invalid('it has no magic number');
  const version = head.readUInt32LE(hotHeader.version);
  if (version !== HOT_VERSION) throw invalid(`format version ${version}, want ${HOT_VERSION}`);
  const indexSize = head.readUInt32LE(hotHeader.indexSize);
  if (indexSize > maximumIndexSize) throw invalid(`its index unfolds to ${indexSize} bytes`);
  const index = new ColumnReader(decompress(frame.subarray(SKIPPABLE_HEADER_SIZE + HOT_HEADER_SIZE), indexSize));
  const verifiers = readDevices(index, devices);
  const { groups, size } = readGroups(index, devices, verifiers, frame.length);
  if (!index.atEnd) throw invalid('bytes are left over behind its index');
  return { groups, runs: sortRuns(groups), size, verifiers };
}

function readDevices(index: ColumnReader, devices: readonly HotDevice[]): Map<number, PageVerifier> {
  const verifiers = new Map<number, PageVerifier>();
  for (let left = index.number(devices.length); left > 0; left--) {
    const number = index.number(devices.length - 1);
    const device = devices[number];
    if (device === undefined || verifiers.has(number)) throw invalid(`it lists device ${number} twice`);
    verifiers.set(number, new PageVerifier(device.size, device.verityDigest, index.bytes(HASH_SIZE)));
  }
  return verifiers;
}

function readGroups(
  index: ColumnReader,
  devices: readonly HotDevice[],
  verifiers: ReadonlyMap<number, PageVerifier>,
  start: number,
): { groups: HotGroup[]; size: number } {
  const plan = new HashBlockPlan(devices.map((device) => device.size));
  const groups: HotGroup[] = [];
  let [offset, total] = [start, 0];
  for (let left = index.number(maximumHotPages); left > 0; left--) {
    const dataFrameLength = index.number(maximumGroupPages * PAGE_SIZE + maximumFrameOverhead);
    const { runs, pages } = readRuns(index, devices, Math.min(maximumGroupPages, maximumHotPages - total));
    if (runs.some((run) => !verifiers.has(run.device))) throw invalid('a device of its pages is not listed');
    if (dataFrameLength > pages * PAGE_SIZE + maximumFrameOverhead) {
      throw invalid(`a frame has ${dataFrameLength} bytes for ${pages} pages`);
    }
    const hashBlocks = plan.next(runs);
    const hashFrameLength = hashBlocks.length === 0 ? 0 : SKIPPABLE_HEADER_SIZE + hashBlocks.length * MERKLE_BLOCK_SIZE;
    groups.push({ runs, pages, hashBlocks, offset, hashFrameLength, dataFrameLength });
    offset += hashFrameLength + dataFrameLength;
    total += pages;
  }
  return { groups, size: offset };
}

function readRuns(
  index: ColumnReader,
  devices: readonly HotDevice[],
  mostPages: number,
): { runs: PageRun[]; pages: number } {
  const runs: PageRun[] = [];
  let [device, end, total] = [0, 0, 0];
  for (let left = index.number(mostPages); left > 0; left--) {
    const step = index.number(devices.length - 1);
    if (step > 0) end = 0;
    device += step;
    const devicePages = (devices[device]?.size ?? 0) / PAGE_SIZE;
    const page = end + index.number(devicePages);
    const pages = index.number(mostPages - total);
    end = page + pages;
    if (pages === 0 || end > devicePages) throw invalid(`${pages} pages from ${page} of device ${device}`);
    total += pages;
    runs.push({ device, page, pages });
  }
  if (total === 0) throw invalid('it has an empty group');
  return { runs, pages: total };
}

function sortRuns(groups: readonly HotGroup[]): HotRun[] {
  const runs: HotRun[] = [];
  let slot = 0;
  for (const { device, page, pages } of groups.flatMap((group) => group.runs)) {
    runs.push({ key: pageKey(device, page), pages, slot });
    slot += pages;
  }
  runs.sort((a, b) => a.key - b.key);
  let end = 0;
  for (const { key, pages } of runs) {
    if (key < end) throw invalid('a page occurs twice');
    end = key + pages;
  }
  return runs;
}

function invalid(why: string): FormatError {
  return new FormatError('SLUICE_HOT_BLOB_INVALID', `Cannot read hot blob: ${why}`);
}
