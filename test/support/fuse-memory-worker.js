import { spawnSync } from 'node:child_process';
import { subscribe } from 'node:diagnostics_channel';
import { parentPort, workerData } from 'node:worker_threads';
import { failureChannel } from '../../dist/fuse/dispatcher.js';
import { serve } from '../../dist/fuse/serve.js';
import { MemoryFileSystem } from './fuse-memory.js';

const { fd, mountPoint, entries, counters, validSeconds } = workerData;

const operations = new MemoryFileSystem(entries, {
  ...(counters === undefined ? {} : { counters }),
  onPending: (read) => parentPort.postMessage({ kind: 'pending', fd, ...read }),
  onInterrupt: (unique) => parentPort.postMessage({ kind: 'interrupt', fd, unique }),
});

subscribe(failureChannel, ({ error, opcode }) => {
  parentPort.postMessage({ kind: 'failure', code: error.code, opcode });
});
parentPort.postMessage({ kind: 'serving' });
try {
  serve(fd, operations, validSeconds === undefined ? {} : { validSeconds });
} catch (error) {
  // Nobody serves the mount any more: whoever waits for it, the test itself maybe, must not wait for ever.
  spawnSync('umount', ['-i', '-f', '-l', mountPoint]);
  throw error;
}
parentPort.postMessage({ kind: 'ended' });
parentPort.unref();
