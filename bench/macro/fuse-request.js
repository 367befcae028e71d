// What does one FUSE request cost, and how much of that is JavaScript?
//
// Serves the same file from a C loop (bench/anchors/fuse-loop.c) and from a worker of src/fuse, asks both by the same
// client (bench/anchors/fuse-client.c), in turns. Client and server share one CPU, so that no wake-up of an idle CPU is
// measured. A lookup is two requests, for the kernel asks for the directory's attributes first. Prints medians on
// stderr with the median of each round's ratio, one JSON on stdout. Needs root, gcc and taskset.
//
// npm run build && node bench/macro/fuse-request.js [ROUNDS] [COUNT]
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const rounds = Number(process.argv[2] ?? 31);
const count = Number(process.argv[3] ?? 4_000);
const cpu = '0';

const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const directory = mkdtempSync(path.join(os.tmpdir(), 'sluice-bench-'));

function compile(name) {
  const program = path.join(directory, name);
  execFileSync('gcc', ['-O2', '-o', program, here(`../anchors/${name}.c`)], { stdio: 'inherit' });
  return program;
}

/** Starts a server; resolves when it has mounted. */
async function start(name, command) {
  const mountPoint = path.join(directory, `mount-${name}`);
  mkdirSync(mountPoint);
  const server = spawn('taskset', ['-c', cpu, ...command, mountPoint], { stdio: ['ignore', 'pipe', 'inherit'] });
  await new Promise((resolve, reject) => {
    server.stdout.once('data', resolve);
    server.once('exit', (status) => reject(new Error(`${name} ended with status ${status}`)));
  });
  raiseReadahead(mountPoint);
  return { name, mountPoint, samples: [] };
}

/** As FuseSession does: both servers get the same. */
function raiseReadahead(mountPoint) {
  const lines = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  const device = lines.map((line) => line.split(' ')).find((fields) => fields[4] === mountPoint)[2];
  writeFileSync(`/sys/class/bdi/${device}/read_ahead_kb`, '1024');
}

const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
const kinds = ['lookup', 'fstat', 'read4k', 'sequentialMBps'];

const servers = [];
try {
  const client = compile('fuse-client');
  servers.push(await start('c', [compile('fuse-loop')]));
  servers.push(await start('javascript', [process.execPath, here('fuse-memory-server.js')]));
  const measure = ({ mountPoint }) =>
    JSON.parse(execFileSync('taskset', ['-c', cpu, client, mountPoint, String(count)], { encoding: 'utf8' }));
  for (const server of servers) measure(server); // compiles the JavaScript
  for (let round = 0; round < rounds; round++) for (const server of servers) server.samples.push(measure(server));
} finally {
  for (const { mountPoint } of servers) execFileSync('umount', ['-l', mountPoint]);
  rmSync(directory, { recursive: true });
}

const medians = Object.fromEntries(
  servers.map(({ name, samples }) => [
    name,
    Object.fromEntries(kinds.map((kind) => [kind, median(samples.map((sample) => sample[kind]))])),
  ]),
);
// Each round's two measurements are neighbours in time, so what else the machine does hits both.
const [inC, inJavaScript] = servers.map(({ samples }) => samples);
const ratios = Object.fromEntries(
  kinds.map((kind) => [kind, median(inJavaScript.map((sample, round) => sample[kind] / inC[round][kind]))]),
);
for (const kind of kinds) {
  const unit = kind === 'sequentialMBps' ? 'MB/s' : 'µs';
  const [javascript, c] = [medians.javascript[kind], medians.c[kind]];
  process.stderr.write(`${kind.padEnd(15)} ${javascript} ${unit}, C loop ${c} ${unit}: ${ratios[kind].toFixed(2)} ×\n`);
}
const commit = execFileSync('git', ['rev-parse', 'HEAD'], { cwd: here('.'), encoding: 'utf8' }).trim();
process.stdout.write(
  `${JSON.stringify({
    benchmark: 'fuse-request',
    commit,
    machine: { cpu: os.cpus()[0].model, cpus: os.cpus().length, kernel: os.release() },
    node: process.version,
    parameters: { rounds, count, pinnedTo: cpu },
    medians,
    ratios,
    samples: Object.fromEntries(servers.map(({ name, samples }) => [name, samples])),
  })}\n`,
);
