import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { beforeAll, describe, expect, it } from 'vitest';
import type { PageRun } from '../../src/bootstrap/page-run.ts';
import { PAGE_SIZE } from '../../src/chunk/parameters.ts';
import { RegistryError, SluiceError } from '../../src/errors.ts';
import type { HotDone, HotFailed } from '../../src/hot/channels.ts';
import { HotPages } from '../../src/hot/hot-pages.ts';
import { HotView } from '../../src/hot/hot-view.ts';
import { type HotFiles, streamHot } from '../../src/hot/stream.ts';
import { type Digest, parseDigest } from '../../src/oci/digest.ts';
import type { BlobSource, ByteRange } from '../../src/oci/image.ts';
import { loadZstd } from '../../src/zstd/codec.ts';
import { sha256Hex } from '../support/content.ts';
import { hotImage, inPieces, pagesOf, run, type SampleHotImage, writeSample } from './sample-hot-blob.ts';

const never = new AbortController().signal;
/** Over three groups, two devices, and several hash blocks. */
const runs = [run(1, 300, 3), run(0, 0, 20), run(1, 0, 10), run(0, 140, 30), run(1, 500), run(0, 21, 40)];

let image: SampleHotImage;
let blob: Uint8Array;

beforeAll(async () => {
  await loadZstd();
  image = await hotImage([200, 600]);
  blob = (await writeSample(image, runs)).bytes;
});

/** A blob in memory, in pieces of 5000 bytes; `spoil` may change what the n-th request yields, or throw. */
class MemoryBlob implements BlobSource {
  readonly ranges: (ByteRange | undefined)[] = [];
  readonly #bytes: Uint8Array;
  readonly #spoil: (request: number, offset: number, piece: Uint8Array) => Uint8Array;

  constructor(bytes: Uint8Array, spoil: (request: number, offset: number, piece: Uint8Array) => Uint8Array = keep) {
    this.#bytes = bytes;
    this.#spoil = spoil;
  }

  async *readBlob(_: unknown, range?: ByteRange): AsyncGenerator<Uint8Array> {
    const request = this.ranges.push(range) - 1;
    let offset = range?.start ?? 0;
    for await (const piece of inPieces(this.#bytes.slice(offset, range?.end), 5000)) {
      yield this.#spoil(request, offset, piece);
      offset += piece.length;
    }
  }
}

const keep = (_request: number, _offset: number, piece: Uint8Array): Uint8Array => piece;

interface Outcome {
  readonly pages: HotPages;
  readonly source: MemoryBlob;
  readonly done: HotDone | undefined;
  readonly error: SluiceError | undefined;
}

async function stream(
  source: MemoryBlob,
  options: { bytes?: Uint8Array; of?: SampleHotImage; room?: number; files?: HotFiles; size?: number } = {},
): Promise<Outcome> {
  const bytes = options.bytes ?? blob;
  const digest = parseDigest(`sha256:${sha256Hex(bytes)}`);
  const pages = new HotPages(options.room ?? 1000);
  let done: HotDone | undefined;
  let error: SluiceError | undefined;
  const onDone = (message: unknown): void => {
    done = message as HotDone;
  };
  const onFailed = (message: unknown): void => {
    error = (message as HotFailed).error as SluiceError;
  };
  subscribe('sluice:hot:done', onDone);
  subscribe('sluice:hot:failed', onFailed);
  const descriptor = { mediaType: 'hot', digest, size: options.size ?? bytes.length };
  const target = Promise.resolve({ pages, devices: (options.of ?? image).devices });
  await streamHot({ source, descriptor, files: options.files, signal: never }, target);
  unsubscribe('sluice:hot:done', onDone);
  unsubscribe('sluice:hot:failed', onFailed);
  if (error !== undefined) expect(error).toBeInstanceOf(SluiceError);
  return { pages, source, done, error };
}

/** What can be read is right; returns how many of the runs that is. */
function rightRuns(pages: HotPages, wanted: readonly PageRun[] = runs): number {
  const view = new HotView(pages.descriptor);
  return wanted.filter((part) => {
    const target = new Uint8Array(part.pages * PAGE_SIZE);
    if (!view.readInto(part.device, part.page * PAGE_SIZE, target)) return false;
    expect(Buffer.compare(target, pagesOf(image, part))).toBe(0);
    return true;
  }).length;
}

describe('streamHot()', () => {
  it('makes all pages of a hot blob readable with one request', async () => {
    const { pages, source, done, error } = await stream(new MemoryBlob(blob));
    expect(error).toBeUndefined();
    expect(done).toMatchObject({ pages: 104, received: blob.length });
    expect(rightRuns(pages)).toBe(runs.length);
    expect(source.ranges).toEqual([undefined]);
    expect(pages.ended).toBe(true);
  });

  it('asks for the blob before the bootstrap is there', async () => {
    const source = new MemoryBlob(blob);
    const abort = new AbortController();
    let known: (error: Error) => void = () => undefined;
    const target = new Promise<never>((_, reject) => {
      known = reject;
    });
    const descriptor = { mediaType: 'hot', digest: parseDigest(`sha256:${sha256Hex(blob)}`), size: blob.length };
    const ended = streamHot({ source, descriptor, signal: abort.signal }, target);
    await new Promise(setImmediate);
    expect(source.ranges).toHaveLength(1);
    known(new Error('no bootstrap'));
    await ended;
  });

  it.each([
    ['a connection that breaks', 20_000],
    ['one that breaks within the index', 8],
  ])('goes on once, by range, after %s', async (_, at) => {
    const fail = (request: number, offset: number, piece: Uint8Array): Uint8Array => {
      if (request === 0 && offset + piece.length > at)
        throw new RegistryError('SLUICE_REGISTRY_TIMEOUT', 'Cannot read');
      return piece;
    };
    const { pages, source, error } = await stream(new MemoryBlob(blob, fail));
    expect(error).toBeUndefined();
    expect(rightRuns(pages)).toBe(runs.length);
    expect(source.ranges).toHaveLength(2);
    expect(source.ranges[1]?.end).toBe(blob.length);
    expect(source.ranges[1]!.start <= at).toBe(true);
  });

  it('asks again for wrong bytes, and gives up when they stay wrong: what was right stays readable', async () => {
    const spoil = (times: number) => (request: number, offset: number, piece: Uint8Array) => {
      if (request >= times || offset < 60_000) return piece;
      return piece.map((byte) => byte ^ 1);
    };
    const healed = await stream(new MemoryBlob(blob, spoil(1)));
    expect(healed.error).toBeUndefined();
    expect(rightRuns(healed.pages)).toBe(runs.length);
    const given = await stream(new MemoryBlob(blob, spoil(9)));
    expect(given.error?.code).toMatch(/SLUICE_(ZSTD_|MERKLE_|HOT_)/);
    expect(given.source.ranges).toHaveLength(2);
    expect(rightRuns(given.pages)).toBeGreaterThan(0);
    expect(rightRuns(given.pages)).toBeLessThan(runs.length);
  });

  it('takes nothing of the hot blob of another image', async () => {
    const other = await hotImage([200, 601]);
    const { pages, error } = await stream(new MemoryBlob(blob), { of: other });
    expect(error?.code).toBe('SLUICE_MERKLE_MISMATCH');
    expect(pages.ready).toBe(0);
  });

  it('does not ask for a blob that claims too many bytes', async () => {
    const { source, error } = await stream(new MemoryBlob(blob), { size: 2 ** 40 });
    expect(error?.code).toBe('SLUICE_HOT_BLOB_INVALID');
    expect(source.ranges).toEqual([]);
  });

  it('refuses a blob of another size than its index tells', async () => {
    const { error } = await stream(new MemoryBlob(blob), { size: blob.length - 1 });
    expect(error?.code).toBe('SLUICE_HOT_BLOB_INVALID');
  });

  it('stops when there is no more room', async () => {
    const { pages, error } = await stream(new MemoryBlob(blob), { room: 50 });
    expect(error).toBeUndefined();
    expect(pages.ready).toBe(48);
    expect(rightRuns(pages)).toBeGreaterThan(0);
  });

  it('keeps a right blob whole, and then needs no request', async () => {
    const kept = new Map<string, Uint8Array>();
    const files: HotFiles = {
      get: async (_, hex) => kept.get(hex),
      put: async (_, hex, bytes) => kept.set(hex, bytes.slice()).size > 0,
    };
    await stream(new MemoryBlob(blob), { files, room: 50 });
    expect(kept.size, 'a part is not kept').toBe(0);
    await stream(new MemoryBlob(blob), { files });
    expect([...kept.keys()]).toEqual([sha256Hex(blob)]);
    const { pages, source } = await stream(new MemoryBlob(blob), { files });
    expect(source.ranges).toEqual([]);
    expect(rightRuns(pages)).toBe(runs.length);
  });

  it('does not keep what is right page by page, but not the blob of that digest', async () => {
    const kept = new Map<string, Uint8Array>();
    const files: HotFiles = {
      get: async () => undefined,
      put: async (_, hex, bytes) => kept.set(hex, bytes).size > 0,
    };
    const digest = `sha256:${'0'.repeat(64)}` as Digest;
    const pages = new HotPages(1000);
    const descriptor = { mediaType: 'hot', digest, size: blob.length };
    const source = new MemoryBlob(blob);
    await streamHot({ source, descriptor, files, signal: never }, Promise.resolve({ pages, devices: image.devices }));
    expect(pages.ready).toBe(104);
    expect(kept.size).toBe(0);
  });
});
