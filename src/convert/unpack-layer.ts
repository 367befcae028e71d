import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { paddedSize } from '../chunk/parameters.ts';
import { verifyStream } from '../digest/verified-stream.ts';
import type { Extent } from '../erofs/inode.ts';
import { IntegrityError } from '../errors.ts';
import type { LocalBlob } from '../oci/image.ts';
import { type TarEntry, type TarHandler, TarParser } from '../tar/reader.ts';
import type { LayerEntry } from '../tree/layer-entry.ts';
import { layerEntryFromTar } from '../tree/tar-entry.ts';
import { decompressLayer } from './decompress.ts';
import { layOutRuns, SpoolWriter } from './spool.ts';

/** A job of the worker pool. */
export interface UnpackRequest {
  readonly kind: 'unpack';
  readonly blob: LocalBlob;
  /** Digest and size of the compressed layer, as the manifest has them. */
  readonly digest: string;
  readonly size: number;
  /** Of the tar, as the config has it. */
  readonly diffId: string;
  /** The spool to write. */
  readonly spool: string;
}

/** A layer taken apart: what the headers said, and where in the spool the content went. */
export interface UnpackedLayer {
  /** Files' extents point into the spool; their `device` is 0. */
  readonly entries: LayerEntry[];
  /** SHA-256 of each file's content by entry index; sparse and empty files have none. */
  readonly fileDigests: Map<number, Uint8Array>;
  readonly tarSize: number;
  readonly spoolSize: number;
}

/**
 * Reads one layer from front to back: checks its digest, decompresses, checks the diff_id, takes the tar apart and
 * spools the files' content. Memory does not grow with the size of the layer's files.
 *
 * @throws {IntegrityError} SLUICE_DIGEST_MISMATCH, SLUICE_SIZE_MISMATCH
 * @throws {FormatError} any code of tar, gzip or zstd
 */
export async function unpackLayer(request: UnpackRequest): Promise<UnpackedLayer> {
  const { blob } = request;
  const file = createReadStream(blob.path, {
    start: blob.offset,
    end: Math.max(blob.offset + blob.length - 1, 0),
    highWaterMark: 1 << 20,
  });
  const compressed = verifyStream(file, { digest: request.digest, size: request.size }, `layer ${request.digest}`);
  const unpacker = new Unpacker(request.spool);
  const parser = new TarParser(unpacker);
  const diffId = createHash('sha256');
  let tarSize = 0;
  try {
    for await (const bytes of decompressLayer(compressed)) {
      tarSize += bytes.length;
      diffId.update(bytes);
      parser.push(bytes);
    }
    parser.end();
  } finally {
    unpacker.close();
  }
  const actual = `sha256:${diffId.digest('hex')}`;
  if (actual !== request.diffId) {
    throw new IntegrityError(
      'SLUICE_DIGEST_MISMATCH',
      `Cannot convert layer ${request.digest}: its tar is ${actual}, the image config says ${request.diffId}`,
      { facts: { expected: request.diffId, actual } },
    );
  }
  return { entries: unpacker.entries, fileDigests: unpacker.fileDigests, tarSize, spoolSize: unpacker.spoolSize };
}

/** Turns what the tar parser delivers into layer entries and spooled content. */
class Unpacker implements TarHandler {
  readonly entries: LayerEntry[] = [];
  readonly fileDigests = new Map<number, Uint8Array>();
  readonly #spool: SpoolWriter;
  #file: SpooledFile | undefined;

  constructor(spool: string) {
    this.#spool = new SpoolWriter(spool);
  }

  get spoolSize(): number {
    return this.#spool.position;
  }

  entry(entry: TarEntry): void {
    if (entry.type !== 'file') {
      this.entries.push(layerEntryFromTar(entry, []));
      return;
    }
    const runs = entry.sparse ?? [{ offset: 0, length: entry.size }];
    const extents = layOutRuns(runs, entry.size, this.#spool.position);
    this.entries.push(layerEntryFromTar(entry, extents));
    this.#file = new SpooledFile(this.#spool, extents, runs, entry.sparse === undefined && entry.size > 0);
  }

  data(bytes: Uint8Array): void {
    this.#file?.write(bytes);
  }

  endEntry(): void {
    const digest = this.#file?.finish();
    if (digest !== undefined) this.fileDigests.set(this.entries.length - 1, digest);
    this.#file = undefined;
  }

  close(): void {
    this.#spool.close();
  }
}

/** One file on its way into the spool: puts each data run at its place within the pages it was given. */
class SpooledFile {
  readonly #spool: SpoolWriter;
  readonly #extents: readonly Extent[];
  readonly #runs: readonly { offset: number; length: number }[];
  readonly #hash: Hash | undefined;
  #run = 0;
  #runDone = 0;
  #extent = 0;

  constructor(
    spool: SpoolWriter,
    extents: readonly Extent[],
    runs: readonly { offset: number; length: number }[],
    hashed: boolean,
  ) {
    this.#spool = spool;
    this.#extents = extents;
    this.#runs = runs;
    this.#hash = hashed ? createHash('sha256') : undefined;
  }

  write(bytes: Uint8Array): void {
    this.#hash?.update(bytes);
    let rest = bytes;
    while (rest.length > 0) {
      const run = this.#runs[this.#run];
      if (run === undefined) throw new RangeError('Cannot spool file: more content than its runs');
      const count = Math.min(rest.length, run.length - this.#runDone);
      if (count > 0) {
        this.#seek(run.offset + this.#runDone);
        this.#spool.write(count === rest.length ? rest : rest.subarray(0, count));
        rest = rest.subarray(count);
        this.#runDone += count;
      }
      if (this.#runDone === run.length) {
        this.#run++;
        this.#runDone = 0;
      }
    }
  }

  /** Pads the last page. */
  finish(): Uint8Array | undefined {
    const last = this.#extents.at(-1);
    if (last !== undefined) this.#spool.pad(last.deviceOffset + paddedSize(last.length) - this.#spool.position);
    return this.#hash?.digest();
  }

  /** Zeros up to where file offset `offset` lies in the spool. */
  #seek(offset: number): void {
    let extent = this.#extents[this.#extent];
    while (extent !== undefined && offset >= extent.offset + extent.length) extent = this.#extents[++this.#extent];
    if (extent === undefined) throw new RangeError('Cannot spool file: content outside its extents');
    this.#spool.pad(extent.deviceOffset + (offset - extent.offset) - this.#spool.position);
  }
}
