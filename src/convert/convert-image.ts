import { rm } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { type BootstrapDevice, writeBootstrap } from '../bootstrap/writer.ts';
import { fsverityDigest } from '../digest/merkle.ts';
import type { DirectoryInode } from '../erofs/inode.ts';
import { FormatError, IntegrityError, UsageError } from '../errors.ts';
import { annotation } from '../image/annotations.ts';
import { type ResolvedImage, resolveConfig, resolveManifest } from '../image/resolve.ts';
import { type Digest, digestFromBytes, digestHex } from '../oci/digest.ts';
import type { ImageSource, ImageTarget, Platform } from '../oci/image.ts';
import { layerCompression } from '../oci/media-types.ts';
import { applyLayer } from '../tree/apply-layer.ts';
import { emptyDirectory } from '../tree/layer-path.ts';
import { workerFile } from '../worker-file.ts';
import { loadZstd } from '../zstd/codec.ts';
import { BlobChain } from './blob-chain.ts';
import { type ConversionContext, type ConvertedLayer, convertLayer, type LayerInput } from './convert-layer.ts';
import { KnownContent } from './known-content.ts';
import { LayerStore } from './layer-store.ts';
import { MergedContent } from './merged-content.ts';
import { OrderedTurns } from './ordered-turns.ts';
import { type ConvertParameters, layerKey } from './parameters.ts';
import type { ReportProgress } from './progress.ts';
import { type PublishedImage, publishImage } from './publish.ts';
import { ReusableLayers } from './reuse.ts';
import { type ConvertSummary, summarise } from './summary.ts';
import { WorkerPool } from './worker-pool.ts';

export interface ConvertOptions {
  readonly source: ImageSource;
  readonly target: ImageTarget;
  /** The target opened for reading, to find layers that are there already. */
  readonly previous?: ImageSource | undefined;
  /** Whether layers that are converted already are used again. Default: yes. */
  readonly reuse?: boolean | undefined;
  /** Where finished layers and downloads are kept; one folder for all conversions of a machine. */
  readonly workDirectory: string;
  readonly parameters: ConvertParameters;
  readonly platform?: Platform | undefined;
  /** Worker threads. Default: one a core. The result does not depend on it. */
  readonly workers?: number | undefined;
  readonly report?: ReportProgress;
  readonly signal?: AbortSignal;
}

/**
 * Converts one OCI image and pushes the result. Nothing shows under the target's tag before all of it is there.
 * After an interruption, finished layers and downloads are not done again.
 *
 * @throws {FormatError} when the source is no OCI image, or is converted already
 * @throws {IntegrityError} SLUICE_DIGEST_MISMATCH, SLUICE_SIZE_MISMATCH when the source is not what its manifest says
 * @throws what source and target throw
 */
export async function convertImage(options: ConvertOptions): Promise<ConvertSummary> {
  await loadZstd();
  const { source, target, signal } = options;
  const raw = await resolveManifest(source, options.platform, () => true, signal);
  const image = await resolveConfig(source, raw, signal);
  const inputs = layerInputs(image, options.parameters);
  const workers = options.workers ?? availableParallelism();
  const pool = new WorkerPool(workerFile('worker', import.meta.url), workers);
  const downloads = path.join(options.workDirectory, 'downloads', digestHex(raw.descriptor.digest));
  try {
    const context = makeContext(options, inputs, pool, workers, downloads);
    await context.store.sweep();
    const layers = await allOrFirstFailure(inputs.map((input) => convertLayer(context, input)));
    checkChains(layers);
    const root = emptyDirectory();
    for (const layer of layers) applyLayer(root, layer.metadata.entries);
    const published = await buildAndPublish(options, image, layers, root);
    await rm(downloads, { recursive: true, force: true });
    return summarise(source.reference, target.reference, image, layers, published, root);
  } finally {
    await pool.close();
  }
}

function layerInputs(image: ResolvedImage, parameters: ConvertParameters): LayerInput[] {
  const { manifest, config } = image;
  if (manifest.annotations[annotation.format] !== undefined) {
    throw new UsageError('SLUICE_OPTION_INVALID', 'Cannot convert image: it is a sluice image already');
  }
  if (manifest.layers.length !== config.diffIds.length) {
    throw new FormatError(
      'SLUICE_MANIFEST_INVALID',
      `Cannot convert image: ${manifest.layers.length} layers in the manifest, ${config.diffIds.length} in the config`,
    );
  }
  return manifest.layers.map((descriptor, index) => {
    if (layerCompression(descriptor.mediaType) === undefined) {
      throw new FormatError(
        'SLUICE_MANIFEST_UNSUPPORTED',
        `Cannot convert layer ${descriptor.digest}: media type "${descriptor.mediaType}" is no tar`,
      );
    }
    const chain = config.diffIds.slice(0, index + 1);
    return { index, descriptor, diffId: chain[index] as Digest, key: layerKey(chain, parameters, config.diffIds) };
  });
}

function makeContext(
  options: ConvertOptions,
  inputs: readonly LayerInput[],
  pool: WorkerPool,
  workers: number,
  downloads: string,
): ConversionContext {
  const store = new LayerStore(path.join(options.workDirectory, 'layers'));
  const { dropHidden, trace } = options.parameters;
  return {
    source: options.source,
    target: options.target,
    parameters: options.parameters,
    pool,
    store,
    reusable: options.reuse === false ? undefined : new ReusableLayers(store, options.target, options.previous),
    downloads,
    parallel: workers + 1,
    turns: new OrderedTurns(inputs.length),
    known: new KnownContent(),
    chain: new BlobChain(inputs.length),
    merged: dropHidden || trace !== undefined ? new MergedContent(inputs.length, dropHidden, trace) : undefined,
    report: options.report ?? (() => undefined),
    signal: options.signal,
  };
}

/** Like Promise.all, but waits for the others too: nothing of them may go on when the caller cleans up. */
async function allOrFirstFailure<Value>(tasks: readonly Promise<Value>[]): Promise<Value[]> {
  const first = Promise.all(tasks);
  first.catch(() => undefined);
  await Promise.allSettled(tasks);
  return first;
}

/** A reused layer says which blobs it lies on; anything else would point extents at the wrong devices. */
function checkChains(layers: readonly ConvertedLayer[]): void {
  for (const [i, { descriptor, metadata }] of layers.entries()) {
    const expected = layers.slice(0, i).map((layer) => layer.descriptor.digest);
    if (expected.join() === metadata.chain.join()) continue;
    throw new IntegrityError(
      'SLUICE_DIGEST_MISMATCH',
      `Cannot reuse layer ${descriptor.digest}: it was made on top of other blobs; convert with --no-reuse`,
      { facts: { expected: expected.join(), actual: metadata.chain.join() } },
    );
  }
}

async function buildAndPublish(
  options: ConvertOptions,
  image: ResolvedImage,
  layers: readonly ConvertedLayer[],
  tree: DirectoryInode,
): Promise<PublishedImage> {
  const devices: BootstrapDevice[] = layers.map(({ descriptor, metadata }) => ({
    blob: descriptor.digest,
    blobSize: descriptor.size,
    chunks: metadata.chunks,
    verityDigest: metadata.verityDigest,
  }));
  const bootstrap = writeBootstrap({ tree, devices, algorithm: options.parameters.digest });
  const root = digestFromBytes(fsverityDigest(bootstrap));
  return publishImage(options.target, image, layers, bootstrap, root, options.signal);
}
