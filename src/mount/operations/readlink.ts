import { bytesOf } from '../../byte-string.ts';
import type { Outcome } from '../../fuse/operations.ts';
import type { Reply } from '../../fuse/reply.ts';
import type { ImageView } from '../image-view.ts';

export function readlink(image: ImageView, nodeid: number, reply: Reply): Outcome {
  return reply.bytes(bytesOf(image.bootstrap.erofs.readlink(image.nid(nodeid))));
}
