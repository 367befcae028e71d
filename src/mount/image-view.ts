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
  /** The same for all mounts that share the rest, of one process. */
  readonly id: number;
  readonly bootstrap: SharedBootstrap;
  readonly cache: readonly CacheViewDescriptor[];
  readonly hot: HotViewDescriptor | undefined;
}

/** What the mounts of an image share in one thread. */
export class SharedView {
  readonly bootstrap: Bootstrap;
  readonly cache: readonly CacheView[];

  constructor({ bootstrap, cache }: Pick<ImageViewDescriptor, 'bootstrap' | 'cache'>) {
    this.bootstrap = Bootstrap.fromShared(bootstrap);
    this.cache = cache.map((device) => new CacheView(device));
  }

  close(): void {
    for (const view of this.cache) view.close();
  }
}

/** An image as the operations of one mount and thread see it: metadata, and what of the content is local. */
export class ImageView {
  readonly bootstrap: Bootstrap;
  readonly cache: readonly CacheView[];
  readonly hot: HotView | undefined;

  /** @param shared - stays the caller's */
  constructor({ bootstrap, cache }: SharedView, hot: HotViewDescriptor | undefined) {
    this.bootstrap = bootstrap;
    this.cache = cache;
    this.hot = hot && new HotView(hot);
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
}
