import { createHash } from 'node:crypto';
import type { BlobMetadata } from '../blob/metadata.ts';
import { displayText } from '../byte-string.ts';
import { verifyStream } from '../digest/verified-stream.ts';
import type { DirectoryInode } from '../erofs/inode.ts';
import { IntegrityError } from '../errors.ts';
import { compareLayers } from '../image/merge-layers.ts';
import { isSluice, type OpenImage, openImage } from '../image/open-image.ts';
import { type ResolvedImage, resolveManifest } from '../image/resolve.ts';
import type { Digest } from '../oci/digest.ts';
import type { Descriptor, ImageSource, Platform } from '../oci/image.ts';
import { type Manifest, parseManifest } from '../oci/manifest.ts';
import { emptyDirectory } from '../tree/layer-path.ts';
import { walk } from '../tree/walk.ts';
import { loadZstd } from '../zstd/codec.ts';
import { decompressStream } from '../zstd/stream.ts';
import { type BadChunk, checkBlob } from './check-blob.ts';
import { findChunkPaths } from './chunk-paths.ts';
import { type ComparedSource, compareSource, resolveSource } from './compare-source.ts';
import { type Problem, Problems } from './problem.ts';

export interface CheckOptions {
  /** What is checked. Everything is read from here, nothing from a cache. */
  readonly image: ImageSource;
  /** The image it was converted from, to compare every file and byte with. */
  readonly source?: ImageSource | undefined;
  readonly platform?: Platform | undefined;
  /** A folder for source layers while they are compared; what is put there is removed again. */
  readonly workDirectory: string;
  /** Takes lines for people. */
  readonly report?: (line: string) => void;
  readonly signal?: AbortSignal | undefined;
}

/** What was looked at, and what is wrong. */
export interface CheckReport {
  readonly image: string;
  readonly manifest: Digest | undefined;
  readonly root: Digest | undefined;
  readonly blobs: number;
  readonly chunks: number;
  /** Bytes of the blobs as the manifest has them. */
  readonly blobBytes: number;
  readonly files: number;
  readonly inodes: number;
  /** `undefined` when there was nothing to compare with. */
  readonly source: ComparedSource | undefined;
  /** Exact, where `problems` may be cut short. */
  readonly problemCount: number;
  readonly problems: readonly Problem[];
}

/**
 * Checks a converted image: the Merkle root and structure of its bootstrap, every chunk of every blob, the blobs' own
 * metadata and digests, the config's diff_ids; and with a source, every file of it. Goes on after a problem.
 *
 * @throws {FormatError} SLUICE_MANIFEST_UNSUPPORTED, SLUICE_BOOTSTRAP_UNSUPPORTED: it is not an image this version knows
 * @throws {NotFoundError} SLUICE_IMAGE_NOT_FOUND, SLUICE_PLATFORM_NOT_FOUND
 * @throws {RegistryError} any code: nothing can be said about the image
 */
export async function checkImage(options: CheckOptions): Promise<CheckReport> {
  await loadZstd();
  const check = new ImageCheck(options);
  await check.run();
  return check.report();
}

class ImageCheck {
  readonly #options: CheckOptions;
  readonly #problems = new Problems();
  readonly #bad: BadChunk[] = [];
  #manifest: { readonly digest: Digest; readonly content: Manifest } | undefined;
  #image: OpenImage | undefined;
  #tree: DirectoryInode | undefined;
  #compared: ComparedSource | undefined;
  #chunks = 0;

  constructor(options: CheckOptions) {
    this.#options = options;
  }

  async run(): Promise<void> {
    const { image: source, source: original, platform, signal } = this.#options;
    // First, because a mistake in what to compare with should not take minutes to come out.
    const resolved = original && (await resolveSource(original, platform, signal));
    await this.#attempt(async () => {
      const raw = await resolveManifest(source, platform, isSluice, signal);
      this.#manifest = { digest: raw.descriptor.digest, content: parseManifest(raw) };
    });
    if (this.#manifest === undefined) return;
    await this.#attempt(async () => {
      this.#image = await openImage(source, { platform, signal });
    });
    if (this.#image === undefined) return this.#checkDigests(this.#manifest.content.layers.slice(0, -1));
    await this.#checkOpen(this.#image);
    if (original && resolved) await this.#compareSource(this.#image, original, resolved);
  }

  report(): CheckReport {
    const image = this.#image;
    const layers = this.#manifest?.content.layers ?? [];
    return {
      image: this.#options.image.reference,
      manifest: this.#manifest?.digest,
      root: image?.root,
      blobs: Math.max(0, layers.length - 1),
      chunks: this.#chunks,
      blobBytes: layers.slice(0, -1).reduce((sum, { size }) => sum + size, 0),
      files: this.#tree === undefined ? 0 : countFiles(this.#tree),
      inodes: image?.bootstrap.erofs.inodeCount ?? 0,
      source: this.#compared,
      problemCount: this.#problems.count,
      problems: this.#problems.listed,
    };
  }

  async #checkOpen(image: OpenImage): Promise<void> {
    const { image: source, signal } = this.#options;
    this.#note('bootstrap: its Merkle root is right');
    await this.#attempt(() => checkBootstrapLayer(source, image, signal));
    // The manifest may embed the config, and then nobody has read the blob that other tools pull.
    await this.#checkDigests([image.manifest.config]);
    await this.#attempt(async () => {
      this.#tree = image.bootstrap.erofs.tree();
    });
    const tree = this.#tree;
    const layers = await this.#checkBlobs(image);
    if (tree !== undefined && layers !== undefined) {
      await this.#attempt(async () => this.#compareLayers(tree, layers));
    }
    this.#addBadChunks(image, tree ?? emptyDirectory());
  }

  async #compareSource(image: OpenImage, source: ImageSource, resolved: ResolvedImage): Promise<void> {
    const { image: blobs, workDirectory, signal } = this.#options;
    const tree = this.#tree;
    if (tree === undefined) return;
    const report = (line: string): void => this.#note(line);
    const problems = this.#problems;
    await this.#attempt(async () => {
      const options = { image, tree, blobs, source, resolved, workDirectory, problems, report, signal };
      this.#compared = await compareSource(options);
    });
  }

  /** @returns the metadata of all blobs; `undefined` when that of one is missing */
  async #checkBlobs(image: OpenImage): Promise<BlobMetadata[] | undefined> {
    const layers: BlobMetadata[] = [];
    for (const device of image.blobs.keys()) {
      this.#note(`blob ${device + 1} of ${image.blobs.length}: ${image.blobs[device]?.digest}`);
      const { image: source, signal } = this.#options;
      const { metadata, bad, chunks } = await checkBlob(source, image, device, this.#problems, signal);
      this.#chunks += chunks;
      for (const chunk of bad) this.#bad.push(chunk);
      if (metadata !== undefined) layers.push(metadata);
    }
    return layers.length === image.blobs.length ? layers : undefined;
  }

  /** All that can be said of blobs without a bootstrap. */
  async #checkDigests(blobs: readonly Descriptor[]): Promise<void> {
    for (const blob of blobs) {
      const { image, signal } = this.#options;
      this.#note(`blob ${blob.digest}`);
      await this.#attempt(async () => {
        for await (const _ of verifyStream(image.readBlob(blob, undefined, signal), blob, `blob ${blob.digest}`));
      }, blob.digest);
    }
  }

  #compareLayers(tree: DirectoryInode, layers: readonly BlobMetadata[]): void {
    for (const { path, what, expected, actual } of compareLayers(tree, layers)) {
      const shown = `/${displayText(path)}`;
      this.#problems.add({
        code: 'SLUICE_BLOB_INVALID',
        message: `Cannot match "${shown}": bootstrap and blobs differ in ${what}`,
        paths: [shown],
        what,
        expected,
        actual,
      });
    }
  }

  #addBadChunks(image: OpenImage, tree: DirectoryInode): void {
    const { devices } = image.bootstrap;
    const listed = this.#bad.slice(0, maximumTraced);
    const maps = devices.map(({ chunks }) => chunks);
    for (const [i, { paths, count }] of findChunkPaths(tree, maps, listed).entries()) {
      const { device, chunk, why } = listed[i] as BadChunk;
      const { blob, chunks } = devices[device] as (typeof devices)[number];
      this.#problems.add({
        code: 'SLUICE_CHUNK_DIGEST_MISMATCH',
        message: `Cannot use chunk ${chunk} of blob "${blob}": ${why}`,
        blob,
        chunk,
        compressedOffset: chunks.compressedOffset(chunk),
        uncompressedOffset: chunks.uncompressedOffset(chunk),
        paths,
        pathCount: count,
      });
    }
    const rest = this.#bad.length - listed.length;
    if (rest === 0) return;
    this.#problems.add({ code: 'SLUICE_CHUNK_DIGEST_MISMATCH', message: `Cannot use ${rest} more chunks` }, rest);
  }

  async #attempt(action: () => Promise<void>, blob?: Digest): Promise<void> {
    try {
      await action();
    } catch (error) {
      this.#problems.addError(error, blob === undefined ? {} : { blob });
    }
  }

  #note(line: string): void {
    this.#options.report?.(line);
  }
}

/** The paths of so many bad chunks are looked up: with every chunk bad, each file would be met once a chunk. */
const maximumTraced = 500;

/** The tar around the bootstrap is what the config's last diff_id is over. */
async function checkBootstrapLayer(source: ImageSource, image: OpenImage, signal?: AbortSignal): Promise<void> {
  const { bootstrapLayer, config } = image;
  const hash = createHash('sha256');
  const layer = verifyStream(source.readBlob(bootstrapLayer, undefined, signal), bootstrapLayer, 'bootstrap layer');
  for await (const bytes of decompressStream(layer)) hash.update(bytes);
  const actual = `sha256:${hash.digest('hex')}`;
  const expected = config.diffIds.at(-1);
  if (actual === expected && config.diffIds.length === image.blobs.length + 1) return;
  throw new IntegrityError(
    'SLUICE_DIGEST_MISMATCH',
    `Cannot vouch for the image config: its ${config.diffIds.length} diff_ids are not those of the layers`,
    { facts: { expected, actual } },
  );
}

function countFiles(tree: DirectoryInode): number {
  let files = 0;
  for (const { inode } of walk(tree)) if (inode.kind === 'file') files++;
  return files;
}
