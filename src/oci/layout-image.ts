import { FormatError, IntegrityError, NotFoundError } from '../errors.ts';
import type { Digest } from './digest.ts';
import type { ByteRange, Descriptor, ImageSource, LocalBlob, RawManifest } from './image.ts';
import { maximumJsonBytes } from './json.ts';
import {
  checkLayoutFile,
  layoutBlobPath,
  layoutFile,
  layoutIndexFile,
  parseLayoutIndex,
  selectTagged,
} from './layout-index.ts';
import { isIndex, isManifest } from './media-types.ts';
import { readDocument } from './read-document.ts';
import { formatReference, type LayoutReference } from './reference.ts';
import { describeReferrer } from './referrer.ts';

/** The named files of a layout, wherever they lie: in a folder, or in a tar. */
export interface LayoutFiles {
  /** @param name - `index.json`, `blobs/sha256/…`; `undefined` when there is no such file */
  find(name: string): Promise<LocalBlob | undefined>;
  /** Streams a run of a file that {@link find} gave; the chunks belong to the caller. */
  read(run: LocalBlob, signal?: AbortSignal): AsyncIterable<Uint8Array>;
}

/** An image in an OCI layout. Everything but where bytes come from is here. */
export class LayoutImage implements ImageSource {
  readonly reference: string;
  readonly #files: LayoutFiles;
  readonly #tag: string | undefined;

  constructor(reference: LayoutReference, files: LayoutFiles) {
    this.reference = formatReference(reference);
    this.#tag = reference.tag;
    this.#files = files;
  }

  async resolve(signal?: AbortSignal): Promise<RawManifest> {
    const file = await this.#readFile(layoutFile, signal);
    if (file === undefined) {
      throw new NotFoundError('SLUICE_IMAGE_NOT_FOUND', `Cannot read "${this.reference}": no OCI layout there`);
    }
    checkLayoutFile(file);
    return this.readManifest(selectTagged(await this.#entries(signal), this.#tag, this.reference), signal);
  }

  async readManifest(descriptor: Descriptor, signal?: AbortSignal): Promise<RawManifest> {
    const { mediaType, digest, size } = descriptor;
    return { descriptor: { mediaType, digest, size }, bytes: await readDocument(this, descriptor, signal) };
  }

  async referrers(digest: Digest, artifactType?: string, signal?: AbortSignal): Promise<readonly Descriptor[]> {
    const found: Descriptor[] = [];
    for (const entry of await this.#entries(signal)) {
      if (!isManifest(entry.mediaType) && !isIndex(entry.mediaType)) continue;
      const referrer = describeReferrer(await this.readManifest(entry, signal));
      if (referrer?.subject !== digest) continue;
      if (artifactType === undefined || referrer.descriptor.artifactType === artifactType)
        found.push(referrer.descriptor);
    }
    return found;
  }

  async *readBlob(descriptor: Descriptor, range?: ByteRange, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
    const blob = await this.localBlob(descriptor);
    if (blob === undefined) {
      throw new NotFoundError(
        'SLUICE_BLOB_NOT_FOUND',
        `Cannot read blob ${descriptor.digest} of "${this.reference}": not there`,
        { facts: { digest: descriptor.digest } },
      );
    }
    // The whole file, not descriptor.size bytes of it: a file that is too long must not pass for a good one.
    const { start, end } = range ?? { start: 0, end: blob.length };
    if (!(start >= 0 && start <= end && end <= Math.max(blob.length, descriptor.size))) {
      throw new RangeError(`Range ${start}–${end} is outside of ${descriptor.digest}, ${descriptor.size} bytes`);
    }
    if (range !== undefined && blob.length !== descriptor.size) throw this.#wrongSize(descriptor, blob.length);
    if (start === end) return;
    yield* this.#files.read({ path: blob.path, offset: blob.offset + start, length: end - start }, signal);
  }

  localBlob(descriptor: Descriptor): Promise<LocalBlob | undefined> {
    return this.#files.find(layoutBlobPath(descriptor.digest));
  }

  async close(): Promise<void> {}

  #wrongSize({ digest, size }: Descriptor, actual: number): IntegrityError {
    return new IntegrityError(
      'SLUICE_SIZE_MISMATCH',
      `Cannot read blob ${digest} of "${this.reference}": ${actual} bytes, not ${size}`,
      { facts: { digest, expected: size, actual } },
    );
  }

  async #entries(signal?: AbortSignal): Promise<readonly Descriptor[]> {
    const bytes = await this.#readFile(layoutIndexFile, signal);
    if (bytes === undefined) {
      throw new NotFoundError('SLUICE_IMAGE_NOT_FOUND', `Cannot read "${this.reference}": it has no index.json`);
    }
    return parseLayoutIndex(bytes);
  }

  async #readFile(name: string, signal?: AbortSignal): Promise<Uint8Array | undefined> {
    const run = await this.#files.find(name);
    if (run === undefined || run.length === 0) return undefined;
    if (run.length > maximumJsonBytes) {
      throw new FormatError('SLUICE_MANIFEST_INVALID', `Cannot read ${name}: ${run.length} bytes`);
    }
    const chunks: Uint8Array[] = [];
    for await (const chunk of this.#files.read(run, signal)) chunks.push(chunk);
    return Buffer.concat(chunks);
  }
}
