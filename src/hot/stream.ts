import { PAGE_SIZE } from '../chunk/parameters.ts';
import { hash } from '../digest/hash.ts';
import { MERKLE_BLOCK_SIZE } from '../digest/merkle-format.ts';
import { FormatError, IntegrityError } from '../errors.ts';
import { digestHex } from '../oci/digest.ts';
import type { BlobSource, Descriptor } from '../oci/image.ts';
import { decompress, loadZstd } from '../zstd/codec.ts';
import { readFrameHeader } from '../zstd/frame.ts';
import { ArrivingBlob } from './arriving-blob.ts';
import { type HotDone, type HotFailed, type HotGroupRead, type HotIndexRead, hotChannels } from './channels.ts';
import { maximumHotBlobSize, SKIPPABLE_HEADER_SIZE } from './format.ts';
import type { HotPages } from './hot-pages.ts';
import { type HotDevice, type HotGroup, type HotIndex, indexFrameLength, parseHotIndex } from './reader.ts';

/** Where hot blobs are kept whole, by digest; the cache's FileStore is one. */
export interface HotFiles {
  /** @returns the bytes, their digest verified */
  get(kind: 'hot', hex: string): Promise<Uint8Array | undefined>;
  put(kind: 'hot', hex: string, bytes: Uint8Array): Promise<boolean>;
}

export interface HotStreamOptions {
  readonly source: BlobSource;
  /** Of the hot blob. Not trusted. */
  readonly descriptor: Descriptor;
  readonly files?: HotFiles | undefined;
  readonly signal: AbortSignal;
}

/** Where the pages go. */
export interface HotTarget {
  readonly pages: HotPages;
  /** Of the image, in the order of the bootstrap. */
  readonly devices: readonly HotDevice[];
}

/** After a failure of any kind the rest is asked for once more, by range: another answer may be another server's. */
const resumes = 1;

/**
 * Receives a hot blob in one request, and makes each page readable as soon as it came and was verified. The request goes
 * out at once, while the bootstrap may still be on its way. A hot blob that was kept needs none.
 *
 * Never rejects: what goes wrong is published on `sluice:hot:failed`, and readers get their bytes elsewhere.
 * @param target - known when the bootstrap is; its rejection ends the stream
 */
export async function streamHot(options: HotStreamOptions, target: Promise<HotTarget>): Promise<void> {
  const abort = new AbortController();
  const signal = AbortSignal.any([options.signal, abort.signal]);
  const blob = options.descriptor.digest;
  try {
    const { blob: arriving, isKept } = await openBlob({ ...options, signal });
    const { pages, devices } = await target;
    await loadZstd('decompress');
    const filler = new HotFiller(arriving, options.descriptor, pages);
    await filler.fill(devices, isKept ? 0 : resumes);
    hotChannels.done.publish({ blob, pages: pages.ready, received: arriving.received } satisfies HotDone);
    if (!isKept && filler.isWhole) await keep(options, arriving.bytes);
  } catch (error) {
    hotChannels.failed.publish({ blob, error } satisfies HotFailed);
  } finally {
    abort.abort();
    await target.then(
      ({ pages }) => pages.end(),
      () => undefined,
    );
  }
}

async function openBlob(options: HotStreamOptions): Promise<{ blob: ArrivingBlob; isKept: boolean }> {
  const { source, descriptor, files, signal } = options;
  if (descriptor.size > maximumHotBlobSize) throw invalid(`it has ${descriptor.size} bytes`);
  const kept = await files?.get('hot', digestHex(descriptor.digest));
  if (kept === undefined) return { blob: new ArrivingBlob(source, descriptor, signal), isKept: false };
  return { blob: new ArrivingBlob({ readBlob: () => once(kept) }, descriptor, signal), isKept: true };
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/** Pages vouch for themselves; a file that is kept has to be what its name says. */
async function keep({ files, descriptor }: HotStreamOptions, bytes: Uint8Array): Promise<void> {
  const hex = digestHex(descriptor.digest);
  if (Buffer.from(hash('sha256', bytes)).toString('hex') === hex) await files?.put('hot', hex, bytes);
}

/** Goes through a hot blob group by group, and goes on where it stopped. */
class HotFiller {
  readonly #blob: ArrivingBlob;
  readonly #descriptor: Descriptor;
  readonly #pages: HotPages;
  #index: HotIndex | undefined;
  #done = 0;

  constructor(blob: ArrivingBlob, descriptor: Descriptor, pages: HotPages) {
    this.#blob = blob;
    this.#descriptor = descriptor;
    this.#pages = pages;
  }

  /** Whether all groups were received: there was room for them. */
  get isWhole(): boolean {
    return this.#done === this.#index?.groups.length;
  }

  async fill(devices: readonly HotDevice[], resumesLeft: number): Promise<void> {
    try {
      this.#index ??= await this.#readIndex(devices);
      for (let group = this.#nextGroup(this.#index); group !== undefined; group = this.#nextGroup(this.#index)) {
        await this.#readGroup(this.#index, group);
        this.#done++;
      }
    } catch (error) {
      if (resumesLeft === 0) throw error;
      this.#blob.resume(this.#index?.groups[this.#done]?.offset ?? 0);
      await this.fill(devices, resumesLeft - 1);
    }
  }

  #nextGroup(index: HotIndex): HotGroup | undefined {
    const group = index.groups[this.#done];
    return group !== undefined && this.#pages.ready + group.pages <= this.#pages.capacity ? group : undefined;
  }

  async #readIndex(devices: readonly HotDevice[]): Promise<HotIndex> {
    const length = indexFrameLength(await this.#take(0, SKIPPABLE_HEADER_SIZE));
    const index = parseHotIndex(await this.#take(0, length), devices);
    const { size } = this.#descriptor;
    if (index.size !== size) throw invalid(`its index tells of ${index.size} bytes, and it has ${size}`);
    this.#pages.announce(index.runs);
    const pages = index.groups.reduce((sum, group) => sum + group.pages, 0);
    hotChannels.index.publish({
      blob: this.#descriptor.digest,
      pages,
      groups: index.groups.length,
    } satisfies HotIndexRead);
    return index;
  }

  async #readGroup(index: HotIndex, group: HotGroup): Promise<void> {
    const dataStart = group.offset + group.hashFrameLength;
    if (group.hashBlocks.length > 0) addHashBlocks(index, group, await this.#take(group.offset, dataStart));
    const frame = await this.#take(dataStart, dataStart + group.dataFrameLength);
    const content = decompress(frame, group.pages * PAGE_SIZE);
    verifyPages(index, group, content);
    this.#pages.append(content);
    hotChannels.group.publish({
      blob: this.#descriptor.digest,
      pages: group.pages,
      received: dataStart + group.dataFrameLength,
    } satisfies HotGroupRead);
  }

  #take(start: number, end: number): Promise<Uint8Array> {
    return this.#blob.take(start, end, () => this.#pages.touch());
  }
}

function addHashBlocks({ verifiers }: HotIndex, { hashBlocks }: HotGroup, frame: Uint8Array): void {
  const header = readFrameHeader(frame);
  if (header?.kind !== 'skippable' || header.headerLength + header.payloadLength !== frame.length) {
    throw invalid('where hash blocks should be is no skippable frame of their length');
  }
  for (const [i, { device, ...address }] of hashBlocks.entries()) {
    const start = SKIPPABLE_HEADER_SIZE + i * MERKLE_BLOCK_SIZE;
    verifiers.get(device)?.addHashBlock(address, frame.subarray(start, start + MERKLE_BLOCK_SIZE));
  }
}

function verifyPages({ verifiers }: HotIndex, { runs }: HotGroup, content: Uint8Array): void {
  let offset = 0;
  for (const { device, page, pages } of runs) {
    for (let i = 0; i < pages; i++, offset += PAGE_SIZE) {
      if (verifiers.get(device)?.verifyPage(page + i, content.subarray(offset, offset + PAGE_SIZE)) === true) continue;
      throw new IntegrityError(
        'SLUICE_MERKLE_MISMATCH',
        `Cannot read hot blob: page ${page + i} of device ${device} is not the right one`,
        { facts: { device, page: page + i } },
      );
    }
  }
}

function invalid(why: string): FormatError {
  return new FormatError('SLUICE_HOT_BLOB_INVALID', `Cannot read hot blob: ${why}`);
}
