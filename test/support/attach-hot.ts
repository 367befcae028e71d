import type { Bootstrap } from '../../src/bootstrap/bootstrap.ts';
import type { PageRun } from '../../src/bootstrap/page-run.ts';
import { PAGE_SIZE } from '../../src/chunk/parameters.ts';
import { buildDeviceTree, type DeviceTree } from '../../src/hot/device-tree.ts';
import { type WrittenHotBlob, writeHotBlob } from '../../src/hot/writer.ts';
import { attachProfile } from '../../src/image/attach-profile.ts';
import { openChunks } from '../../src/image/open-chunks.ts';
import { openImage } from '../../src/image/open-image.ts';
import { RecentChunks } from '../../src/image/recent-chunks.ts';
import type { ImageSource } from '../../src/oci/image.ts';
import { openReferrerTarget, openSource } from '../../src/transport/open.ts';
import { loadZstd } from '../../src/zstd/codec.ts';

/** Chooses the pages of a hot blob. */
export type ChoosePages = (bootstrap: Bootstrap) => readonly PageRun[];

/** Makes the hot blob of an image, from the outside in: every chunk is read. */
export async function makeHotBlob(source: ImageSource, choose: ChoosePages): Promise<WrittenHotBlob> {
  await loadZstd();
  const image = await openImage(source);
  const { bootstrap } = image;
  const chunks = new RecentChunks(openChunks(source, image).chunks);
  async function* deviceImage(device: number): AsyncGenerator<Uint8Array> {
    const count = bootstrap.devices[device]?.chunks.count ?? 0;
    for (let chunk = 0; chunk < count; chunk++) yield await chunks.read(device, chunk);
  }
  const readPage = async (device: number, page: number): Promise<Uint8Array> => {
    const map = bootstrap.devices[device]!.chunks;
    const chunk = map.find(page * PAGE_SIZE);
    const start = page * PAGE_SIZE - map.uncompressedOffset(chunk);
    return (await chunks.read(device, chunk)).subarray(start, start + PAGE_SIZE);
  };
  const trees: DeviceTree[] = [];
  for (const device of bootstrap.devices.keys()) trees.push(await buildDeviceTree(deviceImage(device)));
  const readPages = async ({ device, page, pages }: PageRun): Promise<Uint8Array> =>
    Buffer.concat(await Promise.all(Array.from({ length: pages }, (_, i) => readPage(device, page + i))));
  return writeHotBlob({ trees, runs: choose(bootstrap), readPages });
}

/** What is attached: the bytes and what is said of them. */
export interface AttachedHot {
  readonly bytes: Uint8Array;
  readonly pages: number;
}

/** Attaches a hot blob, right or wrong, as the image's profile `default`. */
export async function attachHot(reference: string, hot: AttachedHot): Promise<void> {
  const [source, target] = [openSource(reference, {}), openReferrerTarget(reference, {})];
  try {
    await loadZstd();
    const { raw } = await openImage(source);
    const profile = { name: 'default', document: Buffer.from('{}'), hot: { ...hot, runs: 1 } };
    await attachProfile({ source, target }, raw.descriptor, profile);
  } finally {
    await Promise.all([source.close(), target.close()]);
  }
}
