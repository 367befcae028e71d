import { bytesOf } from '../../byte-string.ts';
import type { Outcome } from '../../fuse/operations.ts';
import type { Reply } from '../../fuse/reply.ts';
import type { ImageView } from '../image-view.ts';

const nul = Buffer.of(0);

export function listxattr(image: ImageView, nodeid: number, reply: Reply): Outcome {
  return reply.bytes(xattrNames(image, image.nid(nodeid)));
}

/** All names, each with a NUL after it: what listxattr(2) returns. */
export function xattrNames({ bootstrap: { erofs } }: ImageView, nid: number): Buffer {
  if (erofs.inode(nid).xattrSize === 0) return Buffer.alloc(0);
  const names = Array.from(erofs.xattrs(nid).keys());
  return Buffer.concat(names.flatMap((name) => [bytesOf(name), nul]));
}
