import type { Outcome } from '../../fuse/operations.ts';
import type { Reply } from '../../fuse/reply.ts';
import type { ImageView } from '../image-view.ts';

const blockSize = 4096;

/** The size is that of all device images: what the image's files take, each content once. */
export function statfs(image: ImageView, reply: Reply): Outcome {
  const { devices, erofs } = image.bootstrap;
  const bytes = devices.reduce((sum, device) => sum + device.chunks.deviceSize, 0);
  return reply.statistics({ blockSize, blocks: bytes / blockSize, files: erofs.inodeCount });
}
