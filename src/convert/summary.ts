import type { DirectoryInode } from '../erofs/inode.ts';
import type { ResolvedImage } from '../image/resolve.ts';
import type { Digest } from '../oci/digest.ts';
import { walk } from '../tree/walk.ts';
import type { ConvertedLayer } from './convert-layer.ts';
import type { PublishedImage } from './publish.ts';

/** What became of one layer; bytes. */
export interface LayerSummary {
  readonly source: Digest;
  readonly sourceSize: number;
  readonly blob: Digest;
  readonly blobSize: number;
  readonly chunks: number;
  readonly from: ConvertedLayer['from'];
}

/** What a conversion did; all sizes are bytes. */
export interface ConvertSummary {
  readonly source: string;
  readonly target: string;
  readonly manifest: Digest;
  readonly root: Digest;
  readonly layers: readonly LayerSummary[];
  /** Regular files of the merged tree; a hard link counts once. */
  readonly files: number;
  readonly inodes: number;
  readonly chunks: number;
  /** The source's compressed layers. */
  readonly sourceSize: number;
  /** Blobs and bootstrap layer, as the registry stores them. */
  readonly targetSize: number;
  readonly bootstrapSize: number;
  readonly bootstrapLayerSize: number;
  /** Content, uncompressed, that was not stored again because this image has it already. Reused layers count 0. */
  readonly repeatedSize: number;
  /** Compressed bytes of chunks that no file of the finished image refers to: hidden by upper layers. */
  readonly hiddenSize: number;
  /** Of the blobs, what did not have to be sent because the target had it. */
  readonly presentSize: number;
}

export function summarise(
  source: string,
  target: string,
  image: ResolvedImage,
  layers: readonly ConvertedLayer[],
  published: PublishedImage,
  root: DirectoryInode,
): ConvertSummary {
  const sum = (sizes: readonly number[]): number => sizes.reduce((total, size) => total + size, 0);
  const blobSize = sum(layers.map((layer) => layer.descriptor.size));
  const inodes = new Set(Array.from(walk(root), ({ inode }) => inode));
  return {
    source,
    target,
    manifest: published.manifest.digest,
    root: published.root,
    layers: layers.map((layer, i) => layerSummary(layer, image.manifest.layers[i] ?? layer.descriptor)),
    files: Array.from(inodes).filter((inode) => inode.kind === 'file').length,
    inodes: inodes.size,
    chunks: sum(layers.map((layer) => layer.metadata.chunks.count)),
    sourceSize: sum(image.manifest.layers.map((layer) => layer.size)),
    targetSize: blobSize + published.bootstrapLayer.size,
    bootstrapSize: published.bootstrapSize,
    bootstrapLayerSize: published.bootstrapLayer.size,
    repeatedSize: sum(layers.map((layer) => layer.repeatedBytes)),
    hiddenSize: hiddenSize(layers, root),
    presentSize: blobSize - sum(layers.map((layer) => layer.pushedBytes)),
  };
}

function layerSummary(layer: ConvertedLayer, source: { digest: Digest; size: number }): LayerSummary {
  return {
    source: source.digest,
    sourceSize: source.size,
    blob: layer.descriptor.digest,
    blobSize: layer.descriptor.size,
    chunks: layer.metadata.chunks.count,
    from: layer.from,
  };
}

function hiddenSize(layers: readonly ConvertedLayer[], root: DirectoryInode): number {
  const shown = shownChunks(layers, root);
  let hidden = 0;
  for (const [device, { metadata }] of layers.entries()) {
    for (let chunk = 0; chunk < metadata.chunks.count; chunk++) {
      if (shown[device]?.[chunk] === 0) hidden += metadata.chunks.compressedLength(chunk);
    }
  }
  return hidden;
}

/** For each device, a 1 for each chunk that a file of the tree refers to. */
function shownChunks(layers: readonly ConvertedLayer[], root: DirectoryInode): Uint8Array[] {
  const shown = layers.map((layer) => new Uint8Array(layer.metadata.chunks.count));
  for (const { inode } of walk(root)) {
    if (inode.kind !== 'file') continue;
    for (const { device, deviceOffset, length } of inode.extents) {
      const chunks = layers[device]?.metadata.chunks;
      if (chunks === undefined) continue;
      shown[device]?.fill(1, chunks.find(deviceOffset), chunks.find(deviceOffset + length - 1) + 1);
    }
  }
  return shown;
}
