import { createReadStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { BlobMetadata } from '../blob/metadata.ts';
import { writeBlobMetadata } from '../blob/writer.ts';
import { annotation, blobMediaType } from '../image/annotations.ts';
import type { Digest } from '../oci/digest.ts';
import type { Descriptor, ImageSource, ImageTarget } from '../oci/image.ts';
import type { BlobChain } from './blob-chain.ts';
import { BlobFile } from './blob-file.ts';
import type { CompressedChunks } from './compress-chunks.ts';
import { compressLayer } from './compress-layer.ts';
import type { CutLayer } from './cut-layer.ts';
import type { KnownContent } from './known-content.ts';
import type { FinishedLayer, LayerStore } from './layer-store.ts';
import { localLayer } from './local-layer.ts';
import type { MergedContent } from './merged-content.ts';
import type { OrderedTurns } from './ordered-turns.ts';
import type { ConvertParameters } from './parameters.ts';
import { allContent } from './place.ts';
import { chunkMapOf, type LayerPlan, planLayer } from './plan-layer.ts';
import type { ReportProgress, Stage } from './progress.ts';
import type { ReusableLayers } from './reuse.ts';
import type { UnpackedLayer } from './unpack-layer.ts';
import type { WorkerPool } from './worker-pool.ts';

/** What the layers of one conversion share. */
export interface ConversionContext {
  readonly source: ImageSource;
  readonly target: ImageTarget;
  readonly parameters: ConvertParameters;
  readonly pool: WorkerPool;
  readonly store: LayerStore;
  /** `undefined` to convert every layer anew. */
  readonly reusable: ReusableLayers | undefined;
  /** Where downloads go; survives an interruption. */
  readonly downloads: string;
  /** Slices of one layer that are compressed at once. */
  readonly parallel: number;
  /** One turn a layer, in which it learns what the layers below hold and adds what it holds itself. */
  readonly turns: OrderedTurns;
  readonly known: KnownContent;
  readonly chain: BlobChain;
  /** What the layers come to; `undefined` when no layer depends on those above it. */
  readonly merged: MergedContent | undefined;
  readonly report: ReportProgress;
  readonly signal: AbortSignal | undefined;
}

/** A source layer to convert. */
export interface LayerInput {
  readonly index: number;
  readonly descriptor: Descriptor;
  readonly diffId: Digest;
  readonly key: string;
}

/** A layer that is converted and in the target. */
export interface ConvertedLayer {
  readonly descriptor: Descriptor;
  /** diff_id of the converted layer: digest of its device image. */
  readonly deviceDigest: Digest;
  readonly metadata: BlobMetadata;
  readonly from: 'converted' | 'machine' | 'target';
  /** Bytes of content that were not stored because they are there already; 0 for a reused layer. */
  readonly repeatedBytes: number;
  /** Bytes sent to the target. */
  readonly pushedBytes: number;
}

/**
 * Brings one layer into the target: found converted, or fetched, unpacked, planned, compressed and pushed.
 * Layers run side by side but for planning, which goes lowest first.
 */
export async function convertLayer(context: ConversionContext, input: LayerInput): Promise<ConvertedLayer> {
  try {
    return await bringLayer(context, input);
  } catch (error) {
    context.turns.fail(input.index, error);
    context.chain.fail(input.index, error);
    context.merged?.fail(error);
    throw error;
  }
}

async function bringLayer(context: ConversionContext, input: LayerInput): Promise<ConvertedLayer> {
  const reused = await context.reusable?.find(input.key, context.signal);
  if (reused !== undefined) {
    const { layer, metadata, from } = reused;
    context.report({ layer: input.index, stage: 'reused', done: 0, total: 0 });
    context.merged?.add(input.index, metadata);
    await context.turns.take(input.index, async () => context.known.add(input.index, metadata));
    return finishLayer(context, input, layer, { metadata, from, repeatedBytes: 0 });
  }
  const spool = await context.store.temporaryPath('spool');
  try {
    const unpacked = await unpack(context, input, spool);
    context.merged?.add(input.index, unpacked);
    const plan = await context.turns.take(input.index, () => planInTurn(context, input, unpacked, spool));
    const { layer, metadata } = await writeBlob(context, input, plan, spool);
    return await finishLayer(context, input, layer, {
      metadata,
      from: 'converted',
      repeatedBytes: plan.repeatedBytes,
    });
  } finally {
    await rm(spool, { force: true });
  }
}

async function unpack(context: ConversionContext, input: LayerInput, spool: string): Promise<UnpackedLayer> {
  const { descriptor } = input;
  const step = stepReporter(context, input, 'fetch', descriptor.size);
  const blob = await localLayer(context.source, descriptor, context.downloads, step, context.signal);
  stepReporter(context, input, 'unpack', descriptor.size)(0);
  try {
    return await context.pool.run<UnpackedLayer>({
      kind: 'unpack',
      blob,
      digest: descriptor.digest,
      size: descriptor.size,
      diffId: input.diffId,
      spool,
    });
  } catch (error) {
    // A download may have rotted since it was verified: if it stayed, every attempt would fail.
    if (dirname(blob.path) === context.downloads) await rm(blob.path, { force: true });
    throw error;
  }
}

/** Plans the layer and makes its chunks and files known to those above, with lengths of frames still to come. */
async function planInTurn(
  context: ConversionContext,
  input: LayerInput,
  unpacked: UnpackedLayer,
  spool: string,
): Promise<LayerPlan & Pick<BlobMetadata, 'fileDigests'>> {
  const wanted = (await context.merged?.wanted) ?? allContent;
  const cut = (runs: Float64Array): Promise<CutLayer> =>
    context.pool.run({ kind: 'cut', spool, runs, algorithm: context.parameters.digest });
  const plan = await planLayer(unpacked, input.index, context.known, wanted, cut);
  const lengths = plan.chunks.map((chunk) => chunk.length);
  context.known.add(input.index, { ...plan, ...unpacked, entries: plan.entries, chunks: chunkMapOf(plan, lengths) });
  return { ...plan, fileDigests: unpacked.fileDigests };
}

async function writeBlob(
  context: ConversionContext,
  input: LayerInput,
  plan: LayerPlan & Pick<BlobMetadata, 'fileDigests'>,
  spool: string,
): Promise<{ layer: FinishedLayer; metadata: BlobMetadata }> {
  const { parameters, pool, store } = context;
  const total = plan.chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  const step = stepReporter(context, input, 'compress', total);
  step(0);
  const path = await store.temporaryPath('blob');
  const file = await BlobFile.create(path);
  try {
    const { frameLengths, verityDigest } = await compressLayer(
      plan.chunks,
      file,
      (slice) => pool.run<CompressedChunks>({ kind: 'compress', spool, level: parameters.level, ...slice }),
      context.parallel,
      step,
    );
    const metadata: BlobMetadata = {
      entries: plan.entries,
      fileDigests: plan.fileDigests,
      chunks: chunkMapOf(plan, frameLengths),
      algorithm: parameters.digest,
      verityDigest,
      chain: await context.chain.below(input.index),
      layerKey: input.key,
    };
    const frame = writeBlobMetadata(metadata);
    const layer = { ...(await file.finish(frame)), repositories: [], metadata: frame };
    await store.add(input.key, layer, path);
    return { layer, metadata };
  } catch (error) {
    await file.abandon();
    await rm(path, { force: true });
    throw error;
  }
}

/** Pushes the blob unless the target has it. */
async function finishLayer(
  context: ConversionContext,
  input: LayerInput,
  layer: FinishedLayer,
  facts: Pick<ConvertedLayer, 'metadata' | 'from' | 'repeatedBytes'>,
): Promise<ConvertedLayer> {
  const { store, target, signal } = context;
  context.chain.announce(input.index, layer.blob);
  const descriptor = {
    mediaType: blobMediaType,
    digest: layer.blob,
    size: layer.size,
    annotations: { [annotation.layerKey]: input.key },
  };
  const step = stepReporter(context, input, 'push', layer.size);
  let pushedBytes = 0;
  if (await store.hasBlob(input.key)) {
    const content = (): AsyncIterable<Uint8Array> => countBytes(createReadStream(store.blobPath(input.key)), step);
    if (await target.putBlob(descriptor, content, signal)) pushedBytes = layer.size;
    await store.pushed(input.key, layer, target.repository);
  }
  stepReporter(context, input, 'done', layer.size)(layer.size);
  return { descriptor, deviceDigest: layer.deviceDigest, pushedBytes, ...facts };
}

async function* countBytes(bytes: AsyncIterable<Uint8Array>, step: (done: number) => void): AsyncGenerator<Uint8Array> {
  let done = 0;
  for await (const part of bytes) {
    yield part;
    done += part.length;
    step(done);
  }
}

function stepReporter(
  context: ConversionContext,
  input: LayerInput,
  stage: Stage,
  total: number,
): (done: number) => void {
  return (done) => context.report({ layer: input.index, stage, done, total });
}
