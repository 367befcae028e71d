import type { Outcome } from '../../fuse/operations.ts';
import type { Reply } from '../../fuse/reply.ts';
import type { ImageView } from '../image-view.ts';

export function getattr(image: ImageView, nodeid: number, reply: Reply): Outcome {
  return reply.attributes(image.attributes(image.inode(nodeid)));
}
