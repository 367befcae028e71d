// How fast is a first read, from front to back, when the registry is as quick as can be?
//
// One file of an image that nginx serves on loopback, read through an empty cache: fetched, decompressed, verified, stored
// and answered. The rate that counts is that of one core: bytes by the CPU time of the process that serves the mount, for
// nginx and the reader share the machine with it. Needs root, gcc and nginx.
//
// npm run build && node bench/macro/first-read.js [ROUNDS] [MEGABYTES]
import { mkdirSync, openSync, readFileSync, writeSync } from 'node:fs';
import path from 'node:path';
import { layoutOfTree } from '../support/layout.js';
import { serveLayout } from '../support/nginx.js';
import { RandomPages } from '../support/random-pages.js';
import { publish } from '../support/result.js';
import { convert, mountImage, unmount } from '../support/sluice.js';
import { summary } from '../support/statistics.js';
import { timed } from '../support/timed.js';
import { inWorkspace } from '../support/workspace.js';

const rounds = Number(process.argv[2] ?? 7);
const megabytes = Number(process.argv[3] ?? 512);

/** sysconf(_SC_CLK_TCK) of every Linux there is. */
const ticksPerSecond = 100;

/** Seconds of CPU that a process has used, user and system, all of its threads. */
function cpuOf(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}

function writeTree(tree) {
  mkdirSync(tree);
  const fd = openSync(path.join(tree, 'file'), 'w');
  const pages = new RandomPages(1, 1536);
  for (let i = 0; i < megabytes; i++) writeSync(fd, pages.make(1 << 20));
}

await inWorkspace(async (directory) => {
  const tree = path.join(directory, 'tree');
  writeTree(tree);
  const layout = path.join(directory, 'converted');
  convert(await layoutOfTree(tree, path.join(directory, 'source')), `oci:${layout}:image`, path.join(directory, 'c'));
  const registry = await serveLayout(layout, directory);
  const mountPoint = path.join(directory, 'mount');
  const bytes = megabytes * 2 ** 20;
  const samples = [];
  try {
    for (let round = 0; round < rounds; round++) {
      const pid = mountImage(registry.image, mountPoint, path.join(directory, `cache-${round}`));
      const before = cpuOf(pid);
      const { wall } = timed('dd', [`if=${mountPoint}/file`, 'of=/dev/null', 'bs=1M', 'status=none']);
      samples.push({ wall, cpu: cpuOf(pid) - before });
      unmount(mountPoint);
    }
  } finally {
    await registry.close();
  }
  const row = (what, kind, reach) => ({
    what,
    ...summary(samples.map((sample) => bytes / 1e6 / sample[kind])),
    unit: 'MB/s',
    ...(reach === undefined ? {} : { reach }),
  });
  publish({
    benchmark: 'first-read',
    parameters: { rounds, megabytes },
    rows: [
      row('first read from nginx, verified, by CPU second of the serving process', 'cpu', { atLeast: 250 }),
      row('first read from nginx, verified, by second', 'wall'),
    ],
    samples,
  });
});
