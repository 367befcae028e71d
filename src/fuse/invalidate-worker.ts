import { writeSync } from 'node:fs';
import { workerData } from 'node:worker_threads';
import { notifyCode, notifyInvalInodeOut, outHeader } from './format.ts';
import type { Invalidation } from './invalidate.ts';

/**
 * Sends notifications, one an inode. Source: include/uapi/linux/fuse.h, FUSE_NOTIFY_INVAL_INODE; fs/fuse/inode.c,
 * fuse_reverse_inval_inode().
 */
const { fd, nodeids } = workerData as Invalidation;
const message = Buffer.alloc(outHeader.size + notifyInvalInodeOut.size);
message.writeUInt32LE(message.length, outHeader.len);
message.writeInt32LE(notifyCode.invalInode, outHeader.error);
// Most inodes of an image the kernel has never heard of, which is an error each time.
Error.stackTraceLimit = 0;
for (const nodeid of nodeids) {
  message.writeBigUInt64LE(BigInt(nodeid), outHeader.size + notifyInvalInodeOut.nodeid);
  try {
    writeSync(fd, message);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') break;
  }
}
