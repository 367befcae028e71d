import type { Outcome } from '../../fuse/operations.ts';
import type { Reply } from '../../fuse/reply.ts';
import type { ImageView } from '../image-view.ts';

/** Like readdir, with attributes. The kernel wants no lookup counted for `.` and `..`. */
export function readdirplus(image: ImageView, nodeid: number, cookie: number, reply: Reply): Outcome {
  const { erofs } = image.bootstrap;
  for (const { name, nid, index } of erofs.readDirectory(image.nid(nodeid), cookie)) {
    const child = name === '.' || name === '..' ? 0 : image.nodeid(nid);
    if (!reply.directoryEntryPlus(name, child, image.attributes(erofs.inode(nid)), index + 1)) break;
  }
  return reply.directoryLength;
}
