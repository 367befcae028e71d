import { parentPort } from 'node:worker_threads';
import { serve } from '../fuse/serve.ts';
import { HotWants } from '../hot/hot-wants.ts';
import { imageOperations } from './image-operations.ts';
import { ImageView } from './image-view.ts';
import type { ServeMessage, WorkerMessage } from './messages.ts';
import { TraceLog } from './trace-log.ts';

/**
 * A worker thread of one mount. It is started before there is anything to mount, so that loading it costs no time
 * later; its first message is its only one, because from then on it blocks in read(2). It ends with the mount.
 */
const port = parentPort;
if (port === null) throw new Error('Cannot run: this file is started as a worker thread');
const post = (message: WorkerMessage): void => port.postMessage(message);

port.once('message', ({ fd, image, wants: buffer, trace, maximumReadahead }: ServeMessage) => {
  const view = new ImageView(image);
  const log = new TraceLog(trace);
  const wants = buffer && new HotWants(buffer);
  const operations = imageOperations(view, {
    record: (nid, offset, length) => {
      log.add(nid, offset, length);
      wants?.add(nid);
    },
    postMiss: (miss) => post({ kind: 'miss', fd, ...miss }),
    interrupt: (unique) => post({ kind: 'interrupt', unique }),
  });
  try {
    serve(fd, { ...operations, maximumReadahead });
  } finally {
    view.close();
  }
});
