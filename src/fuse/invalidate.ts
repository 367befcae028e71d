import { write } from 'node:fs';
import { promisify } from 'node:util';
import { notifyCode, notifyInvalInodeOut, outHeader } from './format.ts';

/**
 * Has the kernel drop what it cached of an inode's content, mapped pages too; whoever reads it again asks again.
 *
 * The kernel waits for reads of these pages that are under way, whose answers this process may owe it. So the write is
 * left to a thread that nobody waits for.
 *
 * Source: include/uapi/linux/fuse.h, FUSE_NOTIFY_INVAL_INODE; fs/fuse/inode.c, fuse_reverse_inval_inode().
 * @param fd - /dev/fuse, mounted
 * @returns false when the kernel does not know the inode, or knows no inode any more
 */
export async function invalidateContent(fd: number, nodeid: number): Promise<boolean> {
  const message = Buffer.alloc(outHeader.size + notifyInvalInodeOut.size);
  message.writeUInt32LE(message.length, outHeader.len);
  message.writeInt32LE(notifyCode.invalInode, outHeader.error);
  message.writeBigUInt64LE(BigInt(nodeid), outHeader.size + notifyInvalInodeOut.nodeid);
  try {
    await promisify(write)(fd, message, 0, message.length, null);
    return true;
  } catch {
    return false;
  }
}
