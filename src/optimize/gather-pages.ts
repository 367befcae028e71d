import type { ChunkStore } from '../bootstrap/chunk-store.ts';
import type { PageRun } from '../bootstrap/page-run.ts';
import { PAGE_SIZE } from '../chunk/parameters.ts';
import { IntegrityError } from '../errors.ts';
import { buildDeviceTree, type DeviceTree } from '../hot/device-tree.ts';
import type { OpenImage } from '../image/open-image.ts';
import { readExtents } from '../image/read-extents.ts';

/** What a hot blob takes from an image. */
export interface GatheredPages {
  /** Of every device; one that no page is wanted of has no hash blocks. */
  readonly trees: readonly DeviceTree[];
  /** The bytes of these pages, which must be among those that were wanted. */
  readonly readPages: (run: PageRun) => Promise<Uint8Array>;
}

/**
 * Reads the pages in `wanted`, and the hash blocks that prove them. These take the hash of every page of a device, so
 * each device that anything is wanted of is read from front to back, once; what the cache has of it is not fetched.
 * Memory: the wanted pages, and a 127th of those devices.
 *
 * @param wanted - within their devices
 * @throws {IntegrityError} SLUICE_MERKLE_MISMATCH when a device is not what the bootstrap says
 * @throws what `chunks` throws
 */
export async function gatherPages(
  image: Pick<OpenImage, 'bootstrap'>,
  chunks: ChunkStore,
  wanted: readonly PageRun[],
  signal?: AbortSignal,
): Promise<GatheredPages> {
  const pages = image.bootstrap.devices.map(() => new Map<number, Uint8Array>());
  for (const run of wanted) {
    for (let i = 0; i < run.pages; i++) pages[run.device]?.set(run.page + i, new Uint8Array(0));
  }
  const trees: DeviceTree[] = [];
  for (const [device, own] of pages.entries()) {
    trees.push(own.size === 0 ? noTree(image, device) : await readDevice(image, chunks, device, own, signal));
  }
  const readPages = async ({ device, page, pages: count }: PageRun): Promise<Uint8Array> =>
    Buffer.concat(Array.from({ length: count }, (_, i) => pages[device]?.get(page + i) ?? new Uint8Array(0)));
  return { trees, readPages };
}

/** @param pages - those to be kept; their bytes are put in */
async function readDevice(
  { bootstrap }: Pick<OpenImage, 'bootstrap'>,
  chunks: ChunkStore,
  device: number,
  pages: Map<number, Uint8Array>,
  signal: AbortSignal | undefined,
): Promise<DeviceTree> {
  const { size, digest } = deviceOf(bootstrap, device);
  const extent = { device, deviceOffset: 0, offset: 0, length: size };
  async function* pieces(): AsyncGenerator<Uint8Array> {
    for await (const { offset, bytes } of readExtents(bootstrap, chunks, [extent], signal)) {
      for (let at = 0; at < bytes.length; at += PAGE_SIZE) {
        const page = (offset + at) / PAGE_SIZE;
        if (pages.has(page)) pages.set(page, bytes.slice(at, at + PAGE_SIZE));
      }
      yield bytes;
    }
  }
  const tree = await buildDeviceTree(pieces());
  if (Buffer.compare(tree.digest, digest) === 0) return tree;
  const [expected, actual] = [digest, tree.digest].map((bytes) => Buffer.from(bytes).toString('hex'));
  throw new IntegrityError(
    'SLUICE_MERKLE_MISMATCH',
    `Cannot use device ${device}: its fs-verity digest is ${actual}, want ${expected}`,
    { facts: { device, expected, actual } },
  );
}

function noTree({ bootstrap }: Pick<OpenImage, 'bootstrap'>, device: number): DeviceTree {
  const { size, digest } = deviceOf(bootstrap, device);
  const hashBlock = (): never => {
    throw new RangeError(`Cannot prove pages of device ${device}: none was wanted`);
  };
  return { size, digest, rootHash: new Uint8Array(0), hashBlock };
}

function deviceOf(bootstrap: OpenImage['bootstrap'], device: number): { size: number; digest: Uint8Array } {
  const found = bootstrap.devices[device];
  if (found === undefined) throw new RangeError(`Cannot read device ${device}: there are ${bootstrap.devices.length}`);
  return { size: found.chunks.deviceSize, digest: found.verityDigest };
}
