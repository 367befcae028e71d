// A user without privileges mounts through fusermount3, reads and unmounts: fuse-rootless.js DIRECTORY
// Prints what the mount table and a file say, as JSON.
import { readFile, stat } from 'node:fs/promises';
import { Worker } from 'node:worker_threads';
import { findMount } from '../../dist/fuse/mount-info.js';
import { FuseSession } from '../../dist/fuse/session.js';

const entries = [
  { path: '', mode: 0o040755 },
  { path: 'file', mode: 0o100644, data: [{ offset: 0, bytes: Buffer.from('hello\n') }] },
];
const session = await FuseSession.open({ mountPoint: process.argv[2], source: 'docker.io/a,b\\c d:latest' });
const { fd, mountPoint } = session;
const worker = new Worker(new URL('./fuse-memory-worker.js', import.meta.url), {
  workerData: { fd, mountPoint, entries },
});
const ended = new Promise((resolve) => worker.once('exit', resolve));

const text = await readFile(`${mountPoint}/file`, 'utf8');
const { uid } = await stat(`${mountPoint}/file`);
const { type, source } = findMount(mountPoint);
await session.unmount();
const status = await ended;
session.close();
const left = findMount(mountPoint)?.type === type;
process.stdout.write(JSON.stringify({ text, uid, type, source, status, left, user: process.geteuid() }));
