import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import path from 'node:path';
import type { BlobMetadata } from '../blob/metadata.ts';
import type { ChunkStore } from '../bootstrap/chunk-store.ts';
import { displayText } from '../byte-string.ts';
import { FormatError } from '../errors.ts';
import { annotation } from '../image/annotations.ts';
import { type LayerFile, writeLayerFile } from '../image/layer-file.ts';
import { checkMetadata, compareLayers } from '../image/merge-layers.ts';
import type { OpenImage } from '../image/open-image.ts';
import { RecentChunks } from '../image/recent-chunks.ts';
import { streamBlob } from '../image/stream-blob.ts';
import { canonicalJson, describeBytes, writeManifest } from '../oci/canonical-json.ts';
import type { Digest } from '../oci/digest.ts';
import type { BlobSource, ImageTarget } from '../oci/image.ts';
import { mediaType } from '../oci/media-types.ts';
import { countDropped, exportEntries } from './export-entries.ts';
import { writeTar } from './write-tar.ts';

export interface ExportOptions {
  readonly image: OpenImage;
  /** Where the blobs are: each is read as a whole once, for its metadata. */
  readonly blobs: BlobSource;
  /** The content of the image. */
  readonly chunks: ChunkStore;
  readonly target: ImageTarget;
  /** A folder for one compressed layer at a time; what is put there is removed again. */
  readonly workDirectory: string;
  /** Takes lines for people. */
  readonly report?: (line: string) => void;
  readonly signal?: AbortSignal | undefined;
}

/** What was written. Sizes are bytes. */
export interface ExportSummary {
  readonly image: string;
  readonly target: string;
  readonly manifest: Digest;
  readonly layers: readonly {
    readonly digest: Digest;
    readonly size: number;
    readonly diffId: Digest;
    readonly tarSize: number;
  }[];
  /** Files hidden by upper layers whose content the image does not have: they are empty in the layers. */
  readonly droppedFiles: number;
}

/**
 * Turns a converted image back into an OCI image, with one layer for each of the source's, its entries in their order,
 * whiteouts among them. Merged, the layers give the same tree. Everything is verified as it is read, and nothing shows
 * under the target's tag before all of it is there.
 *
 * @throws {IntegrityError} when a blob or a chunk is damaged
 * @throws {FormatError} SLUICE_BLOB_INVALID when a blob's metadata tells of another tree than the bootstrap
 * @throws what source and target throw
 */
export async function exportImage(options: ExportOptions): Promise<ExportSummary> {
  const { image, target, workDirectory, signal } = options;
  const metadata = await readLayers(options);
  await mkdir(workDirectory, { recursive: true, mode: 0o700 });
  const folder = await mkdtemp(path.join(workDirectory, 'layers-'));
  try {
    const chunks = new RecentChunks(options.chunks);
    const layers: LayerFile[] = [];
    for (const [i, layer] of metadata.entries()) {
      options.report?.(`layer ${i + 1} of ${metadata.length}: compressing and writing`);
      const file = path.join(folder, 'layer');
      const tar = writeTar(exportEntries(layer), { bootstrap: image.bootstrap, chunks }, signal);
      const written = await writeLayerFile(tar, file, signal);
      await target.putBlob(written.descriptor, written.content, signal);
      await rm(file);
      layers.push(written);
    }
    return {
      image: image.reference,
      target: target.reference,
      manifest: await publish(options, layers),
      layers: layers.map(({ descriptor, diffId, tarSize }) => {
        return { digest: descriptor.digest, size: descriptor.size, diffId, tarSize };
      }),
      droppedFiles: metadata.reduce((sum, layer) => sum + countDropped(layer), 0),
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The layers as their blobs describe them, proved to make the bootstrap's tree. */
async function readLayers({ image, blobs, report, signal }: ExportOptions): Promise<BlobMetadata[]> {
  const { bootstrap } = image;
  const layers: BlobMetadata[] = [];
  for (const [device, descriptor] of image.blobs.entries()) {
    const { chunks } = bootstrap.devices[device] ?? {};
    if (chunks === undefined) throw new RangeError(`Cannot export device ${device}: there is none`);
    report?.(`blob ${device + 1} of ${image.blobs.length}: ${descriptor.digest}`);
    const metadata = await streamBlob(blobs, descriptor, chunks, () => undefined, signal);
    checkMetadata(bootstrap, device, metadata);
    layers.push(metadata);
  }
  const [difference] = compareLayers(bootstrap.erofs.tree(), layers);
  if (difference === undefined) return layers;
  const { path: differing, what } = difference;
  throw new FormatError(
    'SLUICE_BLOB_INVALID',
    `Cannot export image: its blobs and its bootstrap differ in ${what} of "/${displayText(differing)}"`,
  );
}

async function publish(options: ExportOptions, layers: readonly LayerFile[]): Promise<Digest> {
  const { image, target, signal } = options;
  const configBytes = canonicalJson(sourceConfig(image, layers));
  const config = describeBytes(mediaType.ociConfig, configBytes);
  await target.putBlob(
    config,
    async function* content() {
      yield configBytes;
    },
    signal,
  );
  const own: ReadonlySet<string> = new Set(Object.values(annotation));
  const annotations = Object.entries(image.manifest.annotations).filter(([name]) => !own.has(name));
  const manifest = writeManifest(mediaType.ociManifest, {
    config,
    layers: layers.map(({ descriptor }) => descriptor),
    ...(annotations.length > 0 ? { annotations: Object.fromEntries(annotations) } : {}),
  });
  await target.putManifest(manifest, true, signal);
  return manifest.descriptor.digest;
}

/** The config as it was before the conversion, but for the digests of tars that are new. */
function sourceConfig({ config }: OpenImage, layers: readonly LayerFile[]): object {
  const { history } = config.document;
  const rootfs = { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) };
  if (!Array.isArray(history)) return { ...config.document, rootfs };
  const last = history.at(-1) as { readonly created_by?: unknown } | undefined;
  const isOurs = typeof last === 'object' && last?.created_by === 'sluice convert';
  return { ...config.document, rootfs, history: isOurs ? history.slice(0, -1) : history };
}
