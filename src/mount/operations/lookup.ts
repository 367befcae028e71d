import type { ByteString } from '../../byte-string.ts';
import type { Outcome } from '../../fuse/operations.ts';
import type { Reply } from '../../fuse/reply.ts';
import type { ImageView } from '../image-view.ts';

/** Finds a name by binary search in the directory's blocks. The kernel remembers the answer either way. */
export function lookup(image: ImageView, parent: number, name: ByteString, reply: Reply): Outcome {
  const { erofs } = image.bootstrap;
  const nid = erofs.lookup(image.nid(parent), name);
  if (nid === undefined) return reply.noEntry();
  return reply.entry(image.nodeid(nid), image.attributes(erofs.inode(nid)));
}
