import { constants } from 'node:os';
import type { ByteString } from '../../byte-string.ts';
import type { Outcome } from '../../fuse/operations.ts';
import type { Reply } from '../../fuse/reply.ts';
import type { ImageView } from '../image-view.ts';

export function getxattr(image: ImageView, nodeid: number, name: ByteString, reply: Reply): Outcome {
  const inode = image.inode(nodeid);
  if (inode.xattrSize === 0) return -constants.errno.ENODATA;
  const value = image.bootstrap.erofs.xattrs(inode.nid).get(name);
  return value === undefined ? -constants.errno.ENODATA : reply.bytes(value);
}
