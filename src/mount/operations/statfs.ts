import type { Outcome } from '../../fuse/operations.ts';
import type { Reply } from '../../fuse/reply.ts';
import type { ImageView } from '../image-view.ts';

export const imageBlockSize = 4096;

/** The size is that of all device images: what the image's files take, each content once. */
export function statfs(image: ImageView, reply: Reply): Outcome {
  const files = image.bootstrap.erofs.inodeCount;
  return reply.statistics({ blockSize: imageBlockSize, blocks: imageBlocks(image), files });
}

export function imageBlocks({ bootstrap: { devices } }: ImageView): number {
  return devices.reduce((sum, device) => sum + device.chunks.deviceSize, 0) / imageBlockSize;
}
