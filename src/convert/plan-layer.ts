import { ChunkMap, type StoredChunk } from '../chunk/chunk-map.ts';
import { deduplicate, type FileSpan, fileExtents } from '../chunk/deduplicate.ts';
import { paddedSize } from '../chunk/parameters.ts';
import type { Extent } from '../erofs/inode.ts';
import type { LayerEntry } from '../tree/layer-entry.ts';
import type { CutLayer, CutRequest } from './cut-layer.ts';
import type { KnownContent } from './known-content.ts';
import { type PlacedFile, type Placement, placeFiles, type WantedContent } from './place.ts';
import type { UnpackedLayer } from './unpack-layer.ts';

/** Chunks to compress and store, in device order. */
export interface ChunkPlan {
  readonly length: number;
  /** 32 bytes. */
  readonly digest: Uint8Array;
  /** Where the content lies in the spool: offset and length pairs, bytes. */
  readonly pieces: readonly number[];
}

/** What a layer's blob will hold, before it is compressed. */
export interface LayerPlan {
  /** With extents in their final places. */
  readonly entries: LayerEntry[];
  readonly chunks: readonly ChunkPlan[];
  /** Bytes of files and chunks that a lower layer, or this one, already holds. */
  readonly repeatedBytes: number;
}

/**
 * Decides what a layer stores and where everything lies.
 *
 * @param device - the layer's index
 * @param known - the layers below; not changed
 * @param wanted - of the content of all layers, what is stored, and what goes first
 * @param cut - cuts and hashes (in a worker thread)
 */
export async function planLayer(
  unpacked: UnpackedLayer,
  device: number,
  known: KnownContent,
  wanted: WantedContent,
  cut: (runs: CutRequest['runs']) => Promise<CutLayer>,
): Promise<LayerPlan> {
  const placement = placeFiles(unpacked.entries, unpacked.fileDigests, known.files, wanted);
  const runs = placement.placed.flatMap((file) => file.extents);
  const cutLayer = await cut(Float64Array.from(runs.flatMap((run) => [run.deviceOffset, run.length])));
  const chunks = Array.from(cutLayer.lengths, (length, i) => ({
    length,
    digest: cutLayer.digests.subarray(i * 32, (i + 1) * 32),
  }));
  const spans = largeFiles(unpacked.entries, placement.placed, cutLayer.lengths);
  const { stored, deviceSize, locations } = deduplicate(chunks, known.chunks, device, spans);
  const pieces = [...chunkPieces(runs, cutLayer.lengths)];
  const cutBytes = cutLayer.lengths.reduce((sum, length) => sum + length, 0);
  return {
    entries: withExtents(
      unpacked.entries,
      placement,
      fileExtents(
        placement.placed.map((file) => file.extents),
        locations,
      ),
    ),
    chunks: stored.flatMap((i) => {
      const chunk = chunks[i];
      return chunk === undefined ? [] : [{ ...chunk, pieces: pieces[i] ?? [] }];
    }),
    repeatedBytes: placement.repeatedBytes + cutBytes - deviceSize,
  };
}

/** The chunk map of a plan whose frames have these lengths. */
export function chunkMapOf(plan: LayerPlan, frameLengths: readonly number[]): ChunkMap {
  const stored: StoredChunk[] = plan.chunks.map(({ length, digest }, i) => ({
    length,
    digest,
    compressedLength: frameLengths[i] ?? 0,
  }));
  return ChunkMap.fromChunks(stored);
}

/** For each cut chunk, the runs of the spool that make it up. Each extent takes whole pages there. */
function* chunkPieces(runs: readonly Extent[], lengths: Uint32Array): Generator<number[]> {
  let run = 0;
  let used = 0;
  for (const length of lengths) {
    const pieces: number[] = [];
    for (let left = length; left > 0; ) {
      const { deviceOffset, length: runLength } = runs[run] ?? { deviceOffset: 0, length: 0 };
      const count = Math.min(left, paddedSize(runLength) - used);
      if (count > 0) pieces.push(deviceOffset + used, count);
      left -= count;
      used += count;
      if (used === paddedSize(runLength)) {
        if (++run > runs.length) throw new RangeError('Cannot place chunks: they are longer than the files');
        used = 0;
      }
    }
    yield pieces;
  }
}

/** The files whose chunks hold nothing else: those that begin and end where a chunk does. */
function largeFiles(entries: readonly LayerEntry[], placed: readonly PlacedFile[], lengths: Uint32Array): FileSpan[] {
  const spans: FileSpan[] = [];
  let chunk = 0;
  let chunkOffset = 0;
  let offset = 0;
  const advance = (): void => {
    while (chunkOffset < offset) chunkOffset += lengths[chunk++] ?? 0;
  };
  for (const { entry, length } of placed) {
    advance();
    const firstChunk = chunk;
    const startsChunk = chunkOffset === offset;
    offset += length;
    advance();
    const file = entries[entry];
    if (file?.kind !== 'file' || !startsChunk || chunkOffset !== offset) continue;
    spans.push({ firstChunk, chunkCount: chunk - firstChunk, fileSize: file.size });
  }
  return spans;
}

function withExtents(
  entries: readonly LayerEntry[],
  placement: Placement,
  extentsOfPlaced: Iterable<Extent[]>,
): LayerEntry[] {
  const extents = new Map<number, readonly Extent[]>();
  const placed = placement.placed[Symbol.iterator]();
  for (const found of extentsOfPlaced) extents.set(placed.next().value?.entry ?? -1, found);
  for (const [entry, twin] of placement.repeated) {
    extents.set(entry, 'entry' in twin ? (extents.get(twin.entry) ?? []) : twin.extents);
  }
  return entries.map((entry, i) => (entry.kind === 'file' ? { ...entry, extents: extents.get(i) ?? [] } : entry));
}
