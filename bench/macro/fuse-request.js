// What does one FUSE request cost, and how much of that is JavaScript?
//
// Serves the same file from a C loop (bench/anchors/fuse-loop.c) and from a worker of src/fuse, asks both by the same
// client (bench/anchors/fuse-client.c), in turns. Client and server share one CPU, so that no wake-up of an idle CPU is
// measured. A lookup is two requests, for the kernel asks for the directory's attributes first. A row's value is the
// median of each round's ratio: a round's two measurements are neighbours in time, so what else the machine does hits
// both. Needs root, gcc and taskset.
//
// npm run build && node bench/macro/fuse-request.js [ROUNDS] [COUNT]
import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { raiseReadahead } from '../support/mounts.js';
import { publish } from '../support/result.js';
import { summary } from '../support/statistics.js';
import { compile, inWorkspace, runJson } from '../support/workspace.js';

const rounds = Number(process.argv[2] ?? 31);
const count = Number(process.argv[3] ?? 4_000);
const cpu = '0';

/** Starts a server; resolves when it has mounted. */
async function start(name, command, directory) {
  const mountPoint = path.join(directory, `mount-${name}`);
  mkdirSync(mountPoint);
  const server = spawn('taskset', ['-c', cpu, ...command, mountPoint], { stdio: ['ignore', 'pipe', 'inherit'] });
  await new Promise((resolve, reject) => {
    server.stdout.once('data', resolve);
    server.once('exit', (status) => reject(new Error(`${name} ended with status ${status}`)));
  });
  raiseReadahead(mountPoint); // as FuseSession does: both servers get the same
  return { name, mountPoint, samples: [] };
}

const servers = [];
await inWorkspace(async (directory) => {
  const memoryServer = fileURLToPath(new URL('fuse-memory-server.js', import.meta.url));
  const client = compile('fuse-client', directory);
  servers.push(await start('c', [compile('fuse-loop', directory)], directory));
  servers.push(await start('javascript', [process.execPath, memoryServer], directory));
  const measure = ({ mountPoint }) => runJson('taskset', ['-c', cpu, client, mountPoint, String(count)]);
  for (const server of servers) measure(server); // compiles the JavaScript
  for (let round = 0; round < rounds; round++) for (const server of servers) server.samples.push(measure(server));
});

const [inC, inJavaScript] = servers.map(({ samples }) => samples);
const row = (what, kind, unit, reach) => ({
  what: `FUSE ${what} served from memory, time of a C loop`,
  ...summary(inJavaScript.map((sample, round) => sample[kind] / inC[round][kind])),
  unit: '×',
  ...(reach === undefined ? {} : { reach }),
  against: [
    { name: 'sluice', ...summary(inJavaScript.map((sample) => sample[kind])), unit },
    { name: 'C loop', ...summary(inC.map((sample) => sample[kind])), unit },
  ],
});
publish({
  benchmark: 'fuse-request',
  parameters: { rounds, count, pinnedTo: cpu },
  rows: [
    row('getattr', 'fstat', 'µs', { atMost: 1.2 }),
    row('lookup', 'lookup', 'µs', { atMost: 1.2 }),
    row('4 KiB direct read', 'read4k', 'µs'),
    { ...row('sequential read', 'sequentialMBps', 'MB/s'), what: 'FUSE sequential read from memory, rate of a C loop' },
  ],
  samples: Object.fromEntries(servers.map(({ name, samples }) => [name, samples])),
});
