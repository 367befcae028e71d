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
// Another blob with the same chunks: what one of the two has, the other one copies.
const turned = ChunkMap.fromChunks(sampleChunks(Number(count)).reverse());
const contents = Array.from({ length: map.count }, (_, chunk) => sampleContent(chunk));
const cache = ChunkCache.open(directory, { maximumBytes: Number(maximumBytes) });
const device = cache.openDevice('ab'.repeat(32), map, 'sha256');
const other = cache.openDevice('cd'.repeat(32), turned, 'sha256');
const result = { loaded: 0, copied: 0, stored: 0, evictions: 0, bad: 0, failures: 0, wrong: 0, hits: 0, misses: 0 };
subscribe('sluice:cache:evicted', () => result.evictions++);
subscribe('sluice:cache:verified', ({ good }) => (result.bad += good ? 0 : 1));
subscribe('sluice:cache:failed', () => result.failures++);
subscribe('sluice:cache:copied', () => result.copied++);

const stop = new Int32Array(new SharedArrayBuffer(4));
const workers = [device, other].map((read) => {
  const worker = new Worker(new URL('./hammer-worker.js', import.meta.url), {
    workerData: { descriptor: read.view(), isTurned: read === other, stop },
  });
  return new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
});

process.stdout.write('started\n');
for (const end = Date.now() + Number(milliseconds); Date.now() < end; ) {
  for (let i = 0; i < 16; i++) {
    const chunk = Math.floor(Math.random() ** 2 * map.count);
    const [target, place] = Math.random() < 0.5 ? [device, chunk] : [other, map.count - 1 - chunk];
    const bytes = target.load(place) ?? target.copy(place);
    if (bytes === undefined) result.stored += target.store(place, contents[chunk]) ? 1 : 0;
    else if (Buffer.compare(bytes, contents[chunk]) === 0) result.loaded++;
    else result.wrong++;
  }
  await turn();
}
Atomics.store(stop, 0, 1);
for (const reads of await Promise.all(workers)) for (const [key, value] of Object.entries(reads)) result[key] += value;
device.close();
other.close();
cache.close();
process.stdout.write(`${JSON.stringify(result)}\n`);
