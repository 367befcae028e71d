// Many hours in a few minutes: readers that check every byte of a mounted image, while its registry misbehaves at random and
// is killed, its daemon is killed, and its cache is a tenth of the image.
//
// npm run soak -- [--minutes 30] [--seed N]
//
// Needs root, docker-registry and the addon. Prints a line for each thing that has to be true, and `N passed, N failed`.
import { execFile } from 'node:child_process';
import { lstatSync, mkdirSync, openSync, readdirSync, readFileSync, writeSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs, promisify } from 'node:util';
import { layoutOfTree } from '../../bench/support/layout.js';
import { RandomPages } from '../../bench/support/random-pages.js';
import { sluiceProgram } from '../../bench/support/sluice.js';
import { inWorkspace } from '../../bench/support/workspace.js';
import { DaemonProbe } from './daemon-probe.js';
import { randomNumbers, startFaultyProxy } from './faulty-proxy.js';
import { RegistryProcess } from './registry-process.js';
import { SoakReaders } from './soak-readers.js';
import { Verdicts } from './verdicts.js';

const { values } = parseArgs({
  options: { minutes: { type: 'string', default: '30' }, seed: { type: 'string', default: String(Date.now() % 1e6) } },
});
const minutes = Number(values.minutes);
const seed = Number(values.seed);

const readers = 8;
const files = 96;
const mebibyte = 2 ** 20;
/** How long a read is tried again. What is done to registry and daemon takes less. */
const deadlineSeconds = 30;
const longestOutageMs = 3000;
/** No read takes longer than its deadline and a restart. */
const stuckMs = (deadlineSeconds + 15) * 1000;
const faultShare = 0.15;
/** One request's worth of chunks, which are stored together. */
const chunkRun = 4 * mebibyte;
/** Until then nobody kills the daemon, so that growth can be told from a start. */
const undisturbedShare = 0.4;

const run = promisify(execFile);
const sluice = (...args) =>
  run(process.execPath, [sluiceProgram, ...args], { env: { ...process.env, SLUICE_IDLE_EXIT: '1' } });

function writeTree(tree) {
  mkdirSync(tree);
  const pages = new RandomPages(seed, 2048);
  const random = randomNumbers(seed);
  let bytes = 0;
  for (let i = 0; i < files; i++) {
    const length = Math.floor(random() * 2.4 * mebibyte) + 1;
    const fd = openSync(path.join(tree, `file-${i}`), 'w');
    writeSync(fd, pages.make(length));
    bytes += length;
  }
  return bytes;
}

/** Bytes of disk below a folder. */
function diskUsage(folder) {
  let bytes = 0;
  for (const name of readdirSync(folder)) {
    const stats = lstatSync(path.join(folder, name), { throwIfNoEntry: false });
    if (stats === undefined) continue;
    bytes += stats.isDirectory() ? diskUsage(path.join(folder, name)) : stats.blocks * 512;
  }
  return bytes;
}

const verdicts = new Verdicts();
const stopped = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => stopped.abort());

/** Looks at the cache all the time. */
async function watchCache(folder, seen, isOver) {
  while (!isOver()) {
    seen.highest = Math.max(seen.highest, diskUsage(folder));
    seen.looks++;
    await sleep(50);
  }
}

/** Has the registry away now and then, and the daemon killed. */
async function disturb({ random, registry, probe, count, mayKill, isOver }) {
  while (!isOver()) {
    await sleep(500 + 3000 * random());
    if (random() < 0.4) {
      await registry.kill();
      await sleep(longestOutageMs * random());
      await registry.start();
      count.registry++;
    } else if (mayKill()) {
      const pid = await probe.pid();
      if (pid !== undefined) process.kill(pid, 'SIGKILL');
      count.daemon++;
    }
  }
}

async function sampleDaemon(probe, samples, isOver) {
  while (!isOver()) {
    const sample = await probe.sample();
    if (sample !== undefined) samples.push(sample);
    await sleep(1000);
  }
}

const median = (numbers) => [...numbers].sort((a, b) => a - b)[numbers.length >> 1] ?? 0;

/** The first samples, without the warming up, against the last. */
function growth(samples, what) {
  const part = Math.max(1, Math.floor(samples.length / 5));
  const before = median(samples.slice(part, 2 * part).map((sample) => sample[what]));
  const after = median(samples.slice(-part).map((sample) => sample[what]));
  return { before, after, ratio: after / before };
}

await inWorkspace(async (directory) => {
  process.stdout.write(`seed ${seed}, ${minutes} minutes\n`);
  const tree = path.join(directory, 'tree');
  const imageBytes = writeTree(tree);
  const registry = new RegistryProcess(path.join(directory, 'registry'));
  await registry.start();
  const cacheDirectory = path.join(directory, 'cache');
  const mountPoint = path.join(directory, 'mnt');
  mkdirSync(mountPoint);
  const layout = await layoutOfTree(tree, path.join(directory, 'source'));
  await sluice(
    'convert',
    '--cache-dir',
    path.join(directory, 'conversion'),
    layout,
    `docker://127.0.0.1:${registry.port}/app:1`,
  );

  const proxy = await startFaultyProxy({ upstream: registry.port, seed, share: faultShare });
  const bound = Math.floor(imageBytes / 10);
  const options = [
    '--cache-dir',
    cacheDirectory,
    '--cache-size',
    String(bound),
    '--on-failure',
    `wait:${deadlineSeconds}s`,
  ];
  await sluice('mount', ...options, '--no-prefetch', `docker://127.0.0.1:${proxy.port}/app:1`, mountPoint);
  const probe = new DaemonProbe(cacheDirectory);

  const start = performance.now();
  const endMs = minutes * 60_000;
  const elapsed = () => (performance.now() - start) / endMs;
  const isOver = () => elapsed() >= 1 || stopped.signal.aborted;
  const isUndisturbed = () => elapsed() < undisturbedShare;
  const cache = { highest: 0, looks: 0 };
  const count = { registry: 0, daemon: 0 };
  const samples = [];
  const load = new SoakReaders(readers, mountPoint, tree, seed, stuckMs);
  const random = randomNumbers(seed + 1);
  try {
    await Promise.all([
      watchCache(path.join(cacheDirectory, 'v1'), cache, isOver),
      disturb({ random, registry, probe, count, mayKill: () => !isUndisturbed(), isOver }),
      sampleDaemon(probe, samples, () => isOver() || !isUndisturbed()),
      load.watch(isOver),
    ]);
    proxy.isCalm = true;
    const { reads, bytes, wrong, errors, longestMs, stuck } = await load.stop();

    const failures = Object.values(errors).reduce((sum, n) => sum + n, 0);
    const struck = Object.values(proxy.counts).reduce((sum, n) => sum + n, 0);
    const kib = (amount) => `${Math.round(amount / 1024)} KiB`;
    verdicts.add(
      'readers read',
      reads > 0,
      `${reads} reads, ${Math.round(bytes / mebibyte)} MiB of ${Math.round(imageBytes / mebibyte)}`,
    );
    verdicts.add('every byte is right', wrong === 0, `${wrong} wrong reads`);
    verdicts.add('no reader sees an error', failures === 0, JSON.stringify(errors));
    verdicts.add(
      'no reader is stuck',
      stuck === 0,
      `${stuck} stuck; the longest read took ${longestMs} ms of ${stuckMs}`,
    );
    verdicts.add(
      'faults struck',
      struck > 0,
      `${struck} of ${proxy.requests} requests: ${JSON.stringify(proxy.counts)}`,
    );
    verdicts.add('the registry was killed', count.registry > 0, `${count.registry} times`);
    verdicts.add('the daemon was killed', count.daemon > 0, `${count.daemon} times`);
    verdicts.add(
      'the cache is within its bound',
      cache.highest <= bound + chunkRun,
      `at most ${kib(cache.highest)} of ${kib(bound)}, looked ${cache.looks} times`,
    );
    for (const [what, most] of Object.entries({ resident: 1.25, descriptors: 1.1, threads: 1 })) {
      const { before, after, ratio } = growth(samples, what);
      verdicts.add(`${what} of the daemon do not grow`, ratio <= most, `${before} at first, ${after} in the end`);
    }
  } finally {
    load.kill();
    await sluice('umount', '--force', '--lazy', mountPoint).catch(() => undefined);
    await proxy.close();
    await registry.kill();
    await sleep(1500);
    await probe.end();
  }
  if (verdicts.failed > 0) {
    const log = readFileSync(path.join(cacheDirectory, 'sluice.log'), 'utf8').slice(-4000);
    process.stdout.write(
      `the daemon's log ends:\n${log}\nagain: npm run soak -- --minutes ${minutes} --seed ${seed}\n`,
    );
  }
  verdicts.print();
  process.exitCode = verdicts.failed === 0 ? 0 : 1;
});
