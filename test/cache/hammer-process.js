// One of several processes that share a cache much too small for the device: fills and evicts all the time.
// Arguments: directory, bound in bytes, milliseconds, device's chunk count. Prints one JSON line.

import { subscribe } from 'node:diagnostics_channel';
import { setImmediate as turn } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { ChunkCache } from '../../dist/cache/chunk-cache.js';
import { ChunkMap } from '../../dist/chunk/chunk-map.js';
import { sampleChunks, sampleContent } from './sample.js';

const [directory, maximumBytes, milliseconds, count] = process.argv.slice(2);
const map = ChunkMap.fromChunks(sampleChunks(Number(count)));
const contents = Array.from({ length: map.count }, (_, chunk) => sampleContent(chunk));
const cache = ChunkCache.open(directory, { maximumBytes: Number(maximumBytes) });
const device = cache.openDevice('ab'.repeat(32), map, 'sha256');
const result = { loaded: 0, stored: 0, evictions: 0, bad: 0, failures: 0, wrong: 0, hits: 0, misses: 0 };
subscribe('sluice:cache:evicted', () => result.evictions++);
subscribe('sluice:cache:verified', ({ good }) => (result.bad += good ? 0 : 1));
subscribe('sluice:cache:failed', () => result.failures++);

const stop = new Int32Array(new SharedArrayBuffer(4));
const workers = Array.from({ length: 2 }, () => {
  const worker = new Worker(new URL('./hammer-worker.js', import.meta.url), {
    workerData: { descriptor: device.view(), stop },
  });
  return new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
});

process.stdout.write('started\n');
for (const end = Date.now() + Number(milliseconds); Date.now() < end; ) {
  for (let i = 0; i < 16; i++) {
    const chunk = Math.floor(Math.random() ** 2 * map.count);
    const bytes = device.load(chunk);
    if (bytes === undefined) result.stored += device.store(chunk, contents[chunk]) ? 1 : 0;
    else if (Buffer.compare(bytes, contents[chunk]) === 0) result.loaded++;
    else result.wrong++;
  }
  await turn();
}
Atomics.store(stop, 0, 1);
for (const reads of await Promise.all(workers)) for (const [key, value] of Object.entries(reads)) result[key] += value;
device.close();
cache.close();
process.stdout.write(`${JSON.stringify(result)}\n`);
