import type { Outcome } from '../../fuse/operations.ts';
import type { Reply } from '../../fuse/reply.ts';
import type { ImageView } from '../image-view.ts';

/** A cookie is one more than the index of the entry before it, so that 0 is the beginning. */
export function readdir(image: ImageView, nodeid: number, cookie: number, reply: Reply): Outcome {
  for (const { name, nid, type, index } of image.bootstrap.erofs.readDirectory(image.nid(nodeid), cookie)) {
    if (!reply.directoryEntry(name, image.nodeid(nid), type, index + 1)) break;
  }
  return reply.directoryLength;
}
