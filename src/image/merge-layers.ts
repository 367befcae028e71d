import type { BlobMetadata } from '../blob/metadata.ts';
import type { Bootstrap } from '../bootstrap/bootstrap.ts';
import type { DirectoryInode, Extent } from '../erofs/inode.ts';
import { FormatError } from '../errors.ts';
import { applyLayer } from '../tree/apply-layer.ts';
import { compareTrees, type Difference } from '../tree/compare.ts';
import { emptyDirectory } from '../tree/layer-path.ts';

/**
 * Compares a blob's own description with what the bootstrap says of it: chunk map, fs-verity
 * digest, digest algorithm, and the blobs below.
 *
 * @param device - the blob's index
 * @throws {FormatError} SLUICE_BLOB_INVALID when they differ, or an extent lies outside of a device below
 */
export function checkMetadata(bootstrap: Bootstrap, device: number, metadata: BlobMetadata): void {
  const invalid = (why: string): FormatError =>
    new FormatError('SLUICE_BLOB_INVALID', `Cannot use metadata of blob ${device}: ${why}`, { facts: { device } });
  const record = bootstrap.devices[device];
  if (record === undefined)
    throw new RangeError(`Cannot check device ${device}: there are ${bootstrap.devices.length}`);
  if (!Buffer.from(metadata.chunks.serialise()).equals(record.chunks.serialise())) {
    throw invalid('its chunk map is not the one in the bootstrap');
  }
  if (Buffer.compare(metadata.verityDigest, record.verityDigest) !== 0) {
    throw invalid('its fs-verity digest is not the one in the bootstrap');
  }
  if (metadata.algorithm !== bootstrap.digestAlgorithm) throw invalid(`its chunks have ${metadata.algorithm} digests`);
  const below = bootstrap.devices.slice(0, device).map(({ blob }) => blob);
  if (metadata.chain.join() !== below.join()) throw invalid('it was made on top of other blobs');
  for (const entry of metadata.entries) {
    if (entry.kind === 'file' && !entry.extents.every((extent) => isInside(bootstrap, extent))) {
      throw invalid('an extent lies outside of its device');
    }
  }
}

function isInside(bootstrap: Bootstrap, { device, deviceOffset, length }: Extent): boolean {
  return deviceOffset + length <= (bootstrap.devices[device]?.chunks.deviceSize ?? -1);
}

/** How the layers' own descriptions, merged, differ from the tree of the bootstrap. */
export interface LayerDifference extends Omit<Difference, 'what'> {
  readonly what: Difference['what'] | 'content';
}

/**
 * Merges the layers as their blobs describe them and compares the outcome with the bootstrap's tree: attributes, and
 * where the content of each file lies.
 *
 * @param tree - of the bootstrap
 * @param layers - lowest first
 * @throws {FormatError} SLUICE_TREE_INVALID when the layers make no tree
 */
export function compareLayers(tree: DirectoryInode, layers: readonly BlobMetadata[]): LayerDifference[] {
  const merged = emptyDirectory();
  for (const { entries } of layers) applyLayer(merged, entries);
  const moved: LayerDifference[] = [];
  const differences = compareTrees(tree, merged, (path, expected, actual) => {
    const [was, is] = [placesText(expected.extents), placesText(actual.extents)];
    if (was !== is) moved.push({ path, what: 'content', expected: was, actual: is });
  });
  return [...differences, ...moved];
}

/** Where the extents lie, runs that continue each other joined. */
function placesText(extents: readonly Extent[]): string {
  const runs: { -readonly [Key in keyof Extent]: Extent[Key] }[] = [];
  for (const extent of extents) {
    const last = runs.at(-1);
    if (last !== undefined && continues(last, extent)) last.length += extent.length;
    else runs.push({ ...extent });
  }
  return runs.map((run) => `${run.offset}+${run.length} at ${run.device}:${run.deviceOffset}`).join(', ');
}

function continues(last: Extent, next: Extent): boolean {
  return (
    next.device === last.device &&
    next.offset === last.offset + last.length &&
    next.deviceOffset === last.deviceOffset + last.length
  );
}
