import { mkdtemp, rm } from 'node:fs/promises';
import path from 'node:path';
import { localLayer } from '../convert/local-layer.ts';
import { SpoolReader } from '../convert/spool.ts';
import { type UnpackedLayer, unpackLayer } from '../convert/unpack-layer.ts';
import type { DirectoryInode, Extent } from '../erofs/inode.ts';
import { FormatError } from '../errors.ts';
import type { DataPiece } from '../image/read-extents.ts';
import type { ResolvedImage } from '../image/resolve.ts';
import type { Descriptor, ImageSource } from '../oci/image.ts';
import { applyLayer } from '../tree/apply-layer.ts';
import { emptyDirectory } from '../tree/layer-path.ts';
import { hashPages } from './content-hash.ts';

/** Digest of a source file's content, hex: SHA-256 of all of it, or of the pages of a sparse file (`hashPages()`). */
export interface ContentDigest {
  readonly kind: 'file' | 'pages';
  readonly digest: string;
}

/** A source image, taken apart by the converter's own code and merged. */
export interface SourceTree {
  readonly tree: DirectoryInode;
  /** By the identity of a file's extent list, which the tree shares with the layer's entry. Empty files have none. */
  readonly contents: ReadonlyMap<readonly Extent[], ContentDigest>;
}

const pieceSize = 1 << 20;

/**
 * Downloads, verifies and unpacks all layers, one after the other: the disk holds one layer at a time.
 *
 * @param directory - made when missing; what is put there is removed again
 * @throws {IntegrityError} when a layer is not what manifest and config say
 * @throws {FormatError} SLUICE_MANIFEST_INVALID, and any code of tar, gzip, zstd and tree
 */
export async function readSourceTree(
  source: ImageSource,
  { manifest, config }: ResolvedImage,
  directory: string,
  report: (line: string) => void,
  signal?: AbortSignal,
): Promise<SourceTree> {
  if (manifest.layers.length !== config.diffIds.length) {
    const why = `${manifest.layers.length} layers in the manifest, ${config.diffIds.length} in the config`;
    throw new FormatError('SLUICE_MANIFEST_INVALID', `Cannot read source image: ${why}`);
  }
  const tree = emptyDirectory();
  const contents = new Map<readonly Extent[], ContentDigest>();
  for (const [i, descriptor] of manifest.layers.entries()) {
    report(`source layer ${i + 1} of ${manifest.layers.length}: ${descriptor.digest}`);
    const folder = await mkdtemp(path.join(directory, 'source-'));
    try {
      const spool = path.join(folder, 'spool');
      const layer = await unpack(source, descriptor, config.diffIds[i] ?? '', folder, spool, signal);
      await collectContents(layer, spool, contents);
      applyLayer(tree, layer.entries);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }
  return { tree, contents };
}

async function unpack(
  source: ImageSource,
  descriptor: Descriptor,
  diffId: string,
  folder: string,
  spool: string,
  signal: AbortSignal | undefined,
): Promise<UnpackedLayer> {
  const blob = await localLayer(source, descriptor, folder, () => undefined, signal);
  const { digest, size } = descriptor;
  return unpackLayer({ kind: 'unpack', blob, digest, size, diffId, spool });
}

async function collectContents(
  { entries, fileDigests }: UnpackedLayer,
  spool: string,
  contents: Map<readonly Extent[], ContentDigest>,
): Promise<void> {
  const reader = new SpoolReader(spool);
  try {
    for (const [i, entry] of entries.entries()) {
      if (entry.kind !== 'file' || entry.size === 0) continue;
      const whole = fileDigests.get(i);
      const content: ContentDigest =
        whole === undefined
          ? { kind: 'pages', digest: await hashPages(spooledPieces(reader, entry.extents)) }
          : { kind: 'file', digest: Buffer.from(whole).toString('hex') };
      contents.set(entry.extents, content);
    }
  } finally {
    reader.close();
  }
}

async function* spooledPieces(reader: SpoolReader, extents: readonly Extent[]): AsyncGenerator<DataPiece> {
  for (const { offset, deviceOffset, length } of extents) {
    for (let done = 0; done < length; done += pieceSize) {
      const bytes = new Uint8Array(Math.min(pieceSize, length - done));
      reader.read(deviceOffset + done, bytes);
      yield { offset: offset + done, bytes };
    }
  }
}
