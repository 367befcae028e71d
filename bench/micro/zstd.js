// node bench/micro/zstd.js [FILE], after npm run build. Chunks of 128 KiB of FILE, by default the Node binary.
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { compress, decompressNative, decompressPortable, loadZstd } from '../../dist/zstd/codec.js';
import { decompressStreamNative, decompressStreamPortable } from '../../dist/zstd/stream.js';
import { measure } from './report.js';

const chunkSize = 128 * 1024;
const chunkCount = 64;

/** Chunks from all over the file, so that code, tables and text all have their share. */
function readChunks(file) {
  const fd = openSync(file, 'r');
  const stride = Math.floor((fstatSync(fd).size - chunkSize) / chunkCount);
  const chunks = Array.from({ length: chunkCount }, (_, i) => {
    const chunk = Buffer.alloc(chunkSize);
    readSync(fd, chunk, 0, chunkSize, i * stride);
    return chunk;
  });
  closeSync(fd);
  return chunks;
}

/** Calls `use` with one item after the other, for ever. */
function turns(items, use) {
  let next = 0;
  return () => use(items[next++ % items.length]);
}

await loadZstd();
const chunks = readChunks(process.argv[2] ?? process.execPath);
measure(
  'zstd compress(), chunks of 128 KiB',
  [1, 3, 5, 9, 15, 19].map((level) => ({
    name: `level ${level}`,
    bytes: chunkSize,
    run: turns(chunks, (chunk) => compress(chunk, level)),
  })),
);

const frames = chunks.map((chunk) => compress(chunk, 5));
const decoders = Object.entries({ portable: decompressPortable, native: decompressNative }).filter(([, f]) => f);
measure(
  `zstd decompress(), ratio ${((chunkSize * chunkCount) / Buffer.concat(frames).length).toFixed(2)}`,
  decoders.map(([name, decode]) => ({
    name,
    bytes: chunkSize,
    run: turns(frames, (frame) => decode(frame, chunkSize)),
  })),
);

console.log('zstd decompressStream(), 64 MiB in one frame, median of 5');
const frame = compress(Buffer.concat(Array.from({ length: 8 }, () => chunks).flat()), 5);
const streams = Object.entries({ portable: decompressStreamPortable, native: decompressStreamNative });
for (const [name, decode] of streams.filter(([, f]) => f)) {
  const rates = [];
  for (let run = 0; run < 5; run++) {
    const start = performance.now();
    let size = 0;
    for await (const bytes of decode(pieces(frame))) size += bytes.length;
    rates.push(size / (performance.now() - start) / 1e3);
  }
  rates.sort((a, b) => a - b);
  console.log(`  ${name.padEnd(40)} ${String(Math.round(rates[2])).padStart(27)} MB/s`);
}

async function* pieces(bytes) {
  for (let i = 0; i < bytes.length; i += 65_536) yield bytes.subarray(i, i + 65_536);
}
