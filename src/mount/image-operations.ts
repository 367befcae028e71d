import { type Operations, PENDING } from '../fuse/operations.ts';
import type { ImageView } from './image-view.ts';
import type { Miss } from './messages.ts';
import { getattr } from './operations/getattr.ts';
import { getxattr } from './operations/getxattr.ts';
import { listxattr } from './operations/listxattr.ts';
import { lookup } from './operations/lookup.ts';
import { lseek } from './operations/lseek.ts';
import { readLocal } from './operations/read.ts';
import { readdir } from './operations/readdir.ts';
import { readdirplus } from './operations/readdirplus.ts';
import { readlink } from './operations/readlink.ts';
import { statfs } from './operations/statfs.ts';
import type { ReadCounter } from './read-counters.ts';

/** What an operation hands over to the thread that fetches, without waiting for it. */
export interface Handover {
  readonly counter: ReadCounter;
  /** Somebody reads: called before the answer is looked for. */
  record(nid: number, offset: number, length: number): void;
  postMiss(miss: Miss): void;
  /** Whoever waits for read `unique` was sent a signal. */
  interrupt(unique: number): void;
}

/** An image as a FUSE file system. */
export function imageOperations(image: ImageView, { counter, record, postMiss, interrupt }: Handover): Operations {
  return {
    lookup: (parent, name, reply) => lookup(image, parent, name, reply),
    getattr: (nodeid, reply) => getattr(image, nodeid, reply),
    readlink: (nodeid, reply) => readlink(image, nodeid, reply),
    read: (nodeid, offset, length, reply, unique, pid) => {
      const nid = image.nid(nodeid);
      record(nid, offset, length);
      const begun = performance.now();
      const filled = readLocal(image, nid, offset, length, reply.data);
      if (filled !== undefined) {
        counter.local(filled, begun);
        return filled;
      }
      counter.missed();
      postMiss({ unique, pid, nid, offset, length });
      return PENDING;
    },
    readdir: (nodeid, cookie, reply) => readdir(image, nodeid, cookie, reply),
    readdirplus: (nodeid, cookie, reply) => readdirplus(image, nodeid, cookie, reply),
    statfs: (reply) => statfs(image, reply),
    getxattr: (nodeid, name, reply) => getxattr(image, nodeid, name, reply),
    listxattr: (nodeid, reply) => listxattr(image, nodeid, reply),
    lseek: (nodeid, offset, hole, reply) => lseek(image, nodeid, offset, hole, reply),
    interrupt,
  };
}
