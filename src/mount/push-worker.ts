import { workerData } from 'node:worker_threads';
import { storeContent } from '../fuse/store.ts';
import { HotWants } from '../hot/hot-wants.ts';
import { ImageView, type ImageViewDescriptor, SharedView } from './image-view.ts';
import { PagePusher } from './push-pages.ts';

/** What the thread is given. */
export interface PushTask {
  /** /dev/fuse, mounted; in use until the thread has ended. */
  readonly fd: number;
  readonly image: Pick<ImageViewDescriptor, 'bootstrap' | 'hot'>;
  /** Of a HotWants. */
  readonly wants: SharedArrayBuffer;
}

/**
 * The thread that puts hot pages into the kernel's page cache, so that a start need not ask for each. Storing waits for
 * reads of the same pages, which other threads answer: so it is this one that stores, which answers nothing, and nobody
 * waits for it.
 */
const { fd, image, wants: buffer } = workerData as PushTask;
const wants = new HotWants(buffer);
const view = new ImageView(new SharedView({ ...image, cache: [] }), image.hot);
const { bootstrap, hot } = view;
// Files the kernel has forgotten are usual.
Error.stackTraceLimit = 0;
if (hot !== undefined) {
  const pusher = new PagePusher(bootstrap, hot, (nid, offset, content) =>
    storeContent(fd, view.nodeid(nid), offset, content),
  );
  let next = 0;
  while (!wants.isClosed) {
    const seen = wants.changes;
    if (hot.isAnnounced) {
      for (let nid = wants.at(next); nid !== undefined; nid = wants.at(next)) {
        pusher.want(nid);
        next++;
      }
      pusher.push();
    }
    wants.wait(seen);
  }
}
