import { Bootstrap, type SharedBootstrap } from '../bootstrap/bootstrap.ts';
import { CacheView, type CacheViewDescriptor } from '../cache/cache-view.ts';
import { encodeDevice } from '../erofs/format.ts';
import type { ErofsInode } from '../erofs/inode-reader.ts';
import type { FileAttributes } from '../fuse/operations.ts';
import { HotView, type HotViewDescriptor } from '../hot/hot-view.ts';

/** FUSE's number of the root. EROFS gives it another, and no inode has nid 1: the superblock lies there. */
const rootNodeid = 1;

/** What a thread needs to serve an image. Goes through `postMessage`; nothing large is copied. */
export interface ImageViewDescriptor {
  readonly bootstrap: SharedBootstrap;
  readonly cache: readonly CacheViewDescriptor[];
  readonly hot: HotViewDescriptor | undefined;
}

/** An image as the operations of one thread see it: metadata, and what of the content is local. */
export class ImageView {
  readonly bootstrap: Bootstrap;
  readonly cache: readonly CacheView[];
  readonly hot: HotView | undefined;

  constructor(descriptor: ImageViewDescriptor) {
    this.bootstrap = Bootstrap.fromShared(descriptor.bootstrap);
    this.cache = descriptor.cache.map((device) => new CacheView(device));
    this.hot = descriptor.hot && new HotView(descriptor.hot);
  }

  nid(nodeid: number): number {
    return nodeid === rootNodeid ? this.bootstrap.erofs.rootNid : nodeid;
  }

  nodeid(nid: number): number {
    return nid === this.bootstrap.erofs.rootNid ? rootNodeid : nid;
  }

  inode(nodeid: number): ErofsInode {
    return this.bootstrap.erofs.inode(this.nid(nodeid));
  }

  attributes(inode: ErofsInode): FileAttributes {
    const { mode, nlink, uid, gid, rdev, size, mtime, mtimeNs } = inode;
    return {
      ino: this.nodeid(inode.nid),
      mode,
      nlink,
      uid,
      gid,
      rdev: encodeDevice(rdev.major, rdev.minor),
      size,
      blocks: Math.ceil(size / 512),
      mtime,
      mtimeNs,
    };
  }

  close(): void {
    for (const view of this.cache) view.close();
  }
}
