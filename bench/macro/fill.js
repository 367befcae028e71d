// What does filling an image in the background cost those who read it?
//
// An image that nginx serves on loopback, as quick as can be, is filled while two kinds of reads are timed, in turns with
// the fill paused: reads of one page that miss the cache, each of another chunk, and random pages of what is in the
// cache. Readers, server and registry share the machine. Needs root and nginx.
//
// npm run build && node bench/macro/fill.js [ROUNDS] [MEGABYTES]
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync, readSync, writeSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { layoutOfTree } from '../support/layout.js';
import { unmountBelow } from '../support/mounts.js';
import { serveLayout } from '../support/nginx.js';
import { RandomPages } from '../support/random-pages.js';
import { publish } from '../support/result.js';
import { convert } from '../support/sluice.js';
import { median } from '../support/statistics.js';
import { inWorkspace } from '../support/workspace.js';

const rounds = Number(process.argv[2] ?? 6);
const megabytes = Number(process.argv[3] ?? 1536);

/** Each miss is of a chunk of its own: the cutter makes none as long. */
const missStride = 1 << 20;
const missesPerPhase = 8;
const cachedMegabytes = 128;
const readsPerPhase = 1000;
const pageSize = 4096;
/** What was under way when a fill is paused comes in this time. */
const settleMs = 150;

const server = fileURLToPath(new URL('../support/filled-mount.js', import.meta.url));

/** Files in the order of the blob: what is read lies behind what is filled. */
function writeTree(tree) {
  mkdirSync(tree);
  const sizes = { 'a-filled': megabytes, 'b-cached': cachedMegabytes, 'c-missed': 2 * rounds * missesPerPhase };
  const pages = new RandomPages(1, 1536);
  for (const [name, size] of Object.entries(sizes)) {
    const fd = openSync(path.join(tree, name), 'w');
    for (let i = 0; i < size; i++) writeSync(fd, pages.make(1 << 20));
    closeSync(fd);
  }
}

/** Numbers from 0 to `count`, each once, in an order with no pattern that readahead could see. */
function* shuffled(count) {
  let step = Math.floor(count * 0.618);
  while (greatestDivisor(step, count) !== 1) step++;
  for (let i = 0, at = 0; i < count; i++, at = (at + step) % count) yield at;
}

const greatestDivisor = (a, b) => (b === 0 ? a : greatestDivisor(b, a % b));

/** The 99th percentile. */
const p99 = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length * 0.99)];

class Reader {
  #fd;
  #offsets;
  #stride;
  #page = Buffer.alloc(pageSize);

  /** @param stride - between two places that are read, each once */
  constructor(file, size, stride) {
    this.#fd = openSync(file, 'r');
    this.#offsets = shuffled(size / stride);
    this.#stride = stride;
  }

  /** @returns milliseconds */
  read() {
    const { value } = this.#offsets.next();
    const start = performance.now();
    readSync(this.#fd, this.#page, 0, pageSize, value * this.#stride);
    return performance.now() - start;
  }

  close() {
    closeSync(this.#fd);
  }
}

async function measure(mountPoint, tell) {
  const cached = new Reader(path.join(mountPoint, 'b-cached'), cachedMegabytes << 20, pageSize);
  const missed = new Reader(path.join(mountPoint, 'c-missed'), 2 * rounds * missesPerPhase * missStride, missStride);
  const samples = { idle: { miss: [], cached: [] }, filling: { miss: [], cached: [] } };
  for (let phase = 0; phase < 2 * rounds; phase++) {
    const name = phase % 2 === 0 ? 'idle' : 'filling';
    await tell(name === 'idle' ? 'pause' : 'start');
    await sleep(settleMs);
    for (let i = 0; i < missesPerPhase; i++) {
      samples[name].miss.push(missed.read());
      await sleep(5);
    }
    for (let i = 0; i < readsPerPhase; i++) samples[name].cached.push(cached.read());
    const { laziness, local } = await tell('state');
    if (name === 'filling' && laziness !== 'filling') throw new Error(`the image was full in phase ${phase}`);
    process.stderr.write(`${name}: ${Math.round(local.bytes / 1e6)} MB local\r`);
  }
  for (const reader of [cached, missed]) reader.close();
  return samples;
}

await inWorkspace(async (directory) => {
  const tree = path.join(directory, 'tree');
  writeTree(tree);
  const layout = path.join(directory, 'converted');
  convert(await layoutOfTree(tree, path.join(directory, 'source')), `oci:${layout}:image`, path.join(directory, 'c'));
  const registry = await serveLayout(layout, directory);
  const mountPoint = path.join(directory, 'mount');
  mkdirSync(mountPoint);
  const child = fork(server, [registry.image, mountPoint, path.join(directory, 'cache')]);
  const tell = async (name) => {
    child.send(name);
    const [state] = await once(child, 'message');
    return state;
  };
  let samples;
  try {
    await once(child, 'message');
    // The chunks of the cached file come one by one, and hardly any of its pages into the page cache.
    const warm = openSync(path.join(mountPoint, 'b-cached'), 'r');
    for (let at = 0; at < cachedMegabytes << 20; at += 64 * 1024) readSync(warm, Buffer.alloc(1), 0, 1, at);
    closeSync(warm);
    samples = await measure(mountPoint, tell);
  } finally {
    unmountBelow(mountPoint);
    await registry.close();
  }
  const row = (what, unit, scale, statistic, kind, most) => {
    const [idle, filling] = ['idle', 'filling'].map((name) => statistic(samples[name][kind]) * scale);
    return {
      what,
      value: filling / idle,
      unit: '',
      reach: { atMost: most },
      against: [
        { name: 'filling', value: filling, unit },
        { name: 'idle', value: idle, unit },
      ],
    };
  };
  publish({
    benchmark: 'fill',
    parameters: { rounds, megabytes },
    rows: [
      row('median of a miss, filling in the background to idle', 'ms', 1, median, 'miss', 2),
      row('99th percentile of cached reads, filling in the background to idle', 'µs', 1000, p99, 'cached', 1.3),
      row('median of cached reads, filling in the background to idle', 'µs', 1000, median, 'cached', 1.3),
    ],
    samples,
  });
});
