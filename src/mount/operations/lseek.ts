import { constants } from 'node:os';
import type { Outcome } from '../../fuse/operations.ts';
import type { Reply } from '../../fuse/reply.ts';
import type { ImageView } from '../image-view.ts';

/** The next byte at or behind `offset` that lies in a hole, or in data; the end of the file counts as a hole. */
export function lseek(image: ImageView, nodeid: number, offset: number, hole: boolean, reply: Reply): Outcome {
  const { nid, size } = image.inode(nodeid);
  if (offset >= size) return -constants.errno.ENXIO;
  for (const segment of image.bootstrap.erofs.mapRange(nid, offset, size - offset)) {
    if ((segment.kind === 'hole') === hole) return reply.offset(segment.fileOffset);
  }
  return hole ? reply.offset(size) : -constants.errno.ENXIO;
}
