import { writevSync } from 'node:fs';
import { notifyCode, notifyStoreOut, outHeader } from './format.ts';

const header = Buffer.alloc(outHeader.size + notifyStoreOut.size);

/**
 * Puts content of a file into the kernel's page cache: nobody will ask for it.
 *
 * The kernel locks page after page, and waits for a read of one that is under way: a thread that answers reads must not
 * call this. Source: include/uapi/linux/fuse.h, FUSE_NOTIFY_STORE; fs/fuse/dev.c, fuse_notify_store().
 *
 * @param fd - /dev/fuse, mounted
 * @param offset - in the file, at the beginning of a page
 * @param content - whole pages, but for the end of the file; read during the call only
 * @returns false when the kernel does not know the inode any more
 */
export function storeContent(fd: number, nodeid: number, offset: number, content: Uint8Array): boolean {
  header.writeUInt32LE(header.length + content.length, outHeader.len);
  header.writeInt32LE(notifyCode.store, outHeader.error);
  header.writeBigUInt64LE(BigInt(nodeid), outHeader.size + notifyStoreOut.nodeid);
  header.writeBigUInt64LE(BigInt(offset), outHeader.size + notifyStoreOut.offset);
  header.writeUInt32LE(content.length, outHeader.size + notifyStoreOut.length);
  try {
    writevSync(fd, [header, content]);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}
