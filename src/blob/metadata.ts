import type { ChunkMap } from '../chunk/chunk-map.ts';
import type { DigestAlgorithm } from '../digest/hash.ts';
import type { Digest } from '../oci/digest.ts';
import type { LayerEntry } from '../tree/layer-entry.ts';

/** What a layer blob says of itself. */
export interface BlobMetadata {
  /** In tar order. Extents' devices are indexes into `chain`, and `chain.length` means this blob. */
  readonly entries: readonly LayerEntry[];
  /** SHA-256 of the content of files, 32 bytes, by entry index: what layers above need to skip a file they repeat. */
  readonly fileDigests: ReadonlyMap<number, Uint8Array>;
  readonly chunks: ChunkMap;
  /** Of the chunks' digests. */
  readonly algorithm: DigestAlgorithm;
  /** The fs-verity digest of the device image, 32 bytes. */
  readonly verityDigest: Uint8Array;
  /** The blobs below this one, lowest first. */
  readonly chain: readonly Digest[];
  /** What the converter made the blob from, and how: it is used again only where that is equal. */
  readonly layerKey: string;
}
