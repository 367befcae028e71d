// The server fuse-request.js measures: one worker, one directory, one file of 256 MiB, nothing kept by the kernel.
// fuse-memory-server.js DIRECTORY
import { Worker } from 'node:worker_threads';
import { FuseSession } from '../../dist/fuse/session.js';

// Handed over, not shared: V8 copies shared memory without memmove's vector instructions.
const bytes = new Uint8Array(256 << 20).fill('x'.charCodeAt(0));
const entries = [
  { path: '', mode: 0o040755 },
  { path: 'file', mode: 0o100644, data: [{ offset: 0, bytes }] },
];

const { fd, mountPoint } = await FuseSession.open({ mountPoint: process.argv[2], source: 'memory' });
new Worker(new URL('../../test/support/fuse-memory-worker.js', import.meta.url), {
  workerData: { fd, mountPoint, entries, validSeconds: 0 },
  transferList: [bytes.buffer],
});
process.stdout.write('mounted\n');
