import { bytesOf } from '../../byte-string.ts';
import type { Outcome } from '../../fuse/operations.ts';
import type { Reply } from '../../fuse/reply.ts';
import type { ImageView } from '../image-view.ts';

const nul = Buffer.of(0);

export function listxattr(image: ImageView, nodeid: number, reply: Reply): Outcome {
  const inode = image.inode(nodeid);
  if (inode.xattrSize === 0) return 0;
  const names = Array.from(image.bootstrap.erofs.xattrs(inode.nid).keys());
  return reply.bytes(Buffer.concat(names.flatMap((name) => [bytesOf(name), nul])));
}
