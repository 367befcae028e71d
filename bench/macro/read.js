// How fast is content read that is in the cache, but not in the mount's page cache?
//
// One file, read through sluice, squashfuse_ll and the kernel's EROFS in turns, by bench/anchors/read-client.c: from
// front to back, and pages in random order. What lies below (cache files, images) is in the page cache for all. Needs
// root, gcc, squashfuse, squashfs-tools and erofs-utils.
//
// npm run build && node bench/macro/read.js [ROUNDS] [MEGABYTES] [READS]
import { mkdirSync, openSync, writeSync } from 'node:fs';
import path from 'node:path';
import { layoutOfTree } from '../support/layout.js';
import { mountErofs, mountSquashfuse } from '../support/peers.js';
import { RandomPages } from '../support/random-pages.js';
import { publish } from '../support/result.js';
import { mountCached, readAll } from '../support/sluice.js';
import { summary } from '../support/statistics.js';
import { compile, inWorkspace, runJson } from '../support/workspace.js';

const rounds = Number(process.argv[2] ?? 9);
const megabytes = Number(process.argv[3] ?? 512);
const reads = Number(process.argv[4] ?? 40_000);

const workloads = {
  sequential: { args: (file) => ['sequential', file] },
  random1: { args: (file) => ['random', file, String(reads), '1'] },
  random4: { args: (file) => ['random', file, String(reads), '4'] },
};

/** The medians of those that sluice must not be slower than. */
function wantedOf(others) {
  return others.filter(({ name }) => name.startsWith('squashfuse')).map(({ value }) => value);
}

function writeTree(tree) {
  mkdirSync(tree);
  const fd = openSync(path.join(tree, 'file'), 'w');
  const pages = new RandomPages(1, 2048);
  for (let i = 0; i < megabytes; i++) writeSync(fd, pages.make(1 << 20));
}

await inWorkspace(async (directory) => {
  const tree = path.join(directory, 'tree');
  writeTree(tree);
  const layout = await layoutOfTree(tree, path.join(directory, 'source'));
  const servers = [
    mountCached(layout, directory),
    mountSquashfuse(tree, 'none', directory),
    mountSquashfuse(tree, 'zstd', directory),
    mountErofs(tree, directory),
  ];
  for (const { mountPoint } of servers) readAll(mountPoint);

  const client = compile('read-client', directory);
  const measure = ({ mountPoint }, { args }) => runJson(client, args(path.join(mountPoint, 'file'))).rate;
  const samples = {};
  for (const [name, workload] of Object.entries(workloads)) {
    samples[name] = Object.fromEntries(servers.map((server) => [server.name, []]));
    for (let round = 0; round < rounds; round++)
      for (const server of servers) samples[name][server.name].push(measure(server, workload));
  }
  const row = (what, workload, unit, scale, reach) => {
    const [own, ...others] = Object.entries(samples[workload]).map(([name, rates]) => ({
      name,
      ...summary(rates.map((rate) => rate / scale)),
    }));
    const { name: _, ...values } = own;
    return { what, ...values, unit, reach: { atLeast: Math.max(reach, ...wantedOf(others)) }, against: others };
  };
  publish({
    benchmark: 'read',
    parameters: { rounds, megabytes, reads, readAheadKiB: 1024 },
    rows: [
      row('sequential read of cached content', 'sequential', 'GB/s', 1e9, 2),
      row('random 4 KiB reads of cached content, 1 thread', 'random1', 'reads/s', 1, 25_000),
      row('random 4 KiB reads of cached content, 4 threads', 'random4', 'reads/s', 1, 60_000),
    ],
    samples,
  });
});
