import type { PageRun } from '../../src/bootstrap/page-run.ts';
import { PAGE_SIZE } from '../../src/chunk/parameters.ts';
import { buildDeviceTree, type DeviceTree } from '../../src/hot/device-tree.ts';
import type { HotDevice } from '../../src/hot/reader.ts';
import { type WrittenHotBlob, writeHotBlob } from '../../src/hot/writer.ts';
import { content } from '../support/content.ts';

/** Device images and their trees. */
export interface SampleHotImage {
  readonly images: readonly Uint8Array[];
  readonly trees: readonly DeviceTree[];
  readonly devices: readonly HotDevice[];
}

/** Half of each page is text, so that it compresses, and no two are alike. @param pages - of each device */
export async function hotImage(pages: readonly number[]): Promise<SampleHotImage> {
  const images = pages.map((count, device) => {
    const image = content(`hot ${device}`, count * PAGE_SIZE);
    for (let page = 0; page < count; page++) image.fill(page, page * PAGE_SIZE, page * PAGE_SIZE + 2048);
    return image;
  });
  const trees = await Promise.all(images.map((image) => buildDeviceTree(inPieces(image, 64 * PAGE_SIZE))));
  return { images, trees, devices: trees.map(({ size, digest }) => ({ size, verityDigest: digest })) };
}

export async function* inPieces(bytes: Uint8Array, length: number): AsyncGenerator<Uint8Array> {
  for (let offset = 0; offset < bytes.length; offset += length) yield bytes.subarray(offset, offset + length);
}

export const run = (device: number, page: number, pages = 1): PageRun => ({ device, page, pages });

/** The bytes of a run, not copied. */
export function pagesOf(image: SampleHotImage, { device, page, pages }: PageRun): Uint8Array {
  return image.images[device]!.subarray(page * PAGE_SIZE, (page + pages) * PAGE_SIZE);
}

export function writeSample(image: SampleHotImage, runs: readonly PageRun[]): Promise<WrittenHotBlob> {
  return writeHotBlob({ trees: image.trees, runs, readPages: async (part) => pagesOf(image, part) });
}
