// How long does it take to walk a tree the kernel knows nothing of yet?
//
// `find` over a tree of small files, without and with a stat(2) of each, right after mounting it by sluice, by
// squashfuse_ll and by the kernel's EROFS, in turns. What lies below is in the page cache for all. Needs root,
// squashfuse, squashfs-tools and erofs-utils.
//
// npm run build && node bench/macro/find.js [ROUNDS] [ENTRIES]
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { layoutOfTree } from '../support/layout.js';
import { mountErofs, mountSquashfuse } from '../support/peers.js';
import { RandomPages } from '../support/random-pages.js';
import { publish } from '../support/result.js';
import { mountCached } from '../support/sluice.js';
import { summary } from '../support/statistics.js';
import { inWorkspace } from '../support/workspace.js';

const rounds = Number(process.argv[2] ?? 15);
const entries = Number(process.argv[3] ?? 16_000);
const filesInDirectory = 19;

const workloads = { names: [], stats: ['-size', '+1k'] };

/** Directories of files, ten of them in each directory, with about as many entries as asked for. */
function writeTree(tree) {
  const pages = new RandomPages(1, 64);
  for (let number = 0; number < entries / (filesInDirectory + 1); number++) {
    const parts = Array.from(String(number).padStart(3, '0'), (digit) => `package-${digit}`);
    const directory = path.join(tree, ...parts);
    mkdirSync(directory, { recursive: true });
    for (let i = 0; i < filesInDirectory; i++) {
      const file = path.join(directory, `module_${number * filesInDirectory + i}.py`);
      writeFileSync(file, pages.make(64 + ((i * 337) % 3000)));
    }
  }
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
  const measure = ({ mountPoint, remount }, args) => {
    remount();
    const start = performance.now();
    execFileSync('find', [mountPoint, ...args], { stdio: ['ignore', 'ignore', 'inherit'] });
    return performance.now() - start;
  };
  const samples = {};
  for (const [workload, args] of Object.entries(workloads)) {
    samples[workload] = Object.fromEntries(servers.map(({ name }) => [name, []]));
    for (let round = 0; round < rounds; round++)
      for (const server of servers) samples[workload][server.name].push(measure(server, args));
  }
  const found = execFileSync('find', [servers[0].mountPoint], { encoding: 'utf8', maxBuffer: 1 << 26 });
  const count = found.trim().split('\n').length;
  const row = (what, workload) => {
    const { sluice, ...others } = samples[workload];
    const against = Object.entries(others).map(([name, times]) => ({ name, ...summary(times) }));
    const squashfuse = against.filter(({ name }) => name.startsWith('squashfuse')).map(({ value }) => value);
    return { what, ...summary(sluice), unit: 'ms', reach: { atMost: Math.min(...squashfuse) }, against };
  };
  publish({
    benchmark: 'find',
    parameters: { rounds, entries: count },
    rows: [
      row(`find over ${count.toLocaleString('en')} entries, cold`, 'names'),
      row('the same with a stat of each', 'stats'),
    ],
    samples,
  });
});
