// Reads random ranges through CacheView until told to stop, and compares every byte.
import { parentPort, workerData } from 'node:worker_threads';
import { CacheView } from '../../dist/cache/cache-view.js';
import { ChunkMap } from '../../dist/chunk/chunk-map.js';
import { sampleContent } from './sample.js';

const { descriptor, isTurned, stop } = workerData;
const view = new CacheView(descriptor);
const map = new ChunkMap(descriptor.chunks);
const image = new Uint8Array(map.deviceSize);
for (let i = 0; i < map.count; i++) {
  image.set(sampleContent(isTurned ? map.count - 1 - i : i), map.uncompressedOffset(i));
}
const expected = Buffer.from(image.buffer);
const target = new Uint8Array(256 * 1024);
const result = { hits: 0, misses: 0, wrong: 0 };

while (Atomics.load(stop, 0) === 0) {
  const chunk = Math.floor(Math.random() * map.count);
  const offset = Math.floor(Math.random() * map.uncompressedLength(chunk));
  const start = map.uncompressedOffset(chunk) + offset;
  const span = Math.random() < 0.5 ? 4096 : 64 * 1024;
  const length = Math.min(map.deviceSize - start, 1 + Math.floor(Math.random() * span));
  const part = target.subarray(0, length);
  if (!view.readInto(chunk, offset, part)) result.misses++;
  else if (expected.compare(part, 0, length, start, start + length) === 0) result.hits++;
  else result.wrong++;
}
view.close();
parentPort.postMessage(result);
