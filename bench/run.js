// The table of benchmarks: each in a process of its own, with a time limit, one after the other.
//
// npm run bench -- [NAME…] [--out FOLDER] [--node FILE] [--quick] [--patience SECONDS]
//
// --out       keep each result as FOLDER/NAME.nodeMAJOR.json, for bench/table.js
// --node      the Node to measure with; default: $NODE, else the one that runs this
// --quick     little of everything: whether it works, not how fast it is
// --patience  how long, in seconds, to wait all in all for a quiet machine; default 120
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { processesOf, unmountBelow } from './support/mounts.js';
import { isReached } from './support/rows.js';

/** Arguments of a quick run; the scripts' own defaults are those of the table. */
const benchmarks = {
  'fuse-request': ['5', '1000'],
  read: ['2', '64', '4000'],
  find: ['2', '2000'],
  'first-read': ['1', '64'],
  fill: ['1', '512'],
  conversion: ['1'],
  sizes: ['redis'],
  memory: ['1'],
  'large-image': ['3', '5000', '200'],
};

/** A benchmark that hangs ends here; all of them together take less than a quarter of an hour. */
const limitMs = 600_000;
/** How idle the processors have to be for a figure that means something. */
const quiet = 0.9;

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    out: { type: 'string' },
    node: { type: 'string', default: process.env.NODE ?? process.execPath },
    quick: { type: 'boolean', default: false },
    patience: { type: 'string', default: '120' },
  },
});

const stopped = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => stopped.abort());

/** The share of the processors' time, over a second, in which they had nothing to do. */
async function idleShare() {
  const before = processorTimes();
  await sleep(1000);
  const after = processorTimes();
  return (after.idle - before.idle) / (after.total - before.total);
}

function processorTimes() {
  const [, ...fields] = readFileSync('/proc/stat', 'utf8').split('\n')[0].split(/\s+/);
  const times = fields.slice(0, 8).map(Number);
  return { idle: times[3] + times[4], total: times.reduce((sum, time) => sum + time) };
}

let patience = Number(options.patience);

/** Waits for a quiet machine, as long as there is patience left. */
async function waitForQuiet() {
  let idle = await idleShare();
  for (; idle < quiet && patience > 0 && !stopped.signal.aborted; patience--) idle = await idleShare();
  return { idle: Number(idle.toFixed(2)), loadAverages: loadAverages() };
}

const loadAverages = () => os.loadavg().map((load) => Number(load.toFixed(2)));

/** @returns what the benchmark printed on stdout */
async function runScript(name, directory) {
  const script = fileURLToPath(new URL(`macro/${name}.js`, import.meta.url));
  const child = spawn(options.node, [script, ...(options.quick ? benchmarks[name] : [])], {
    env: { ...process.env, TMPDIR: directory },
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true, // its children end with it, by its process group
  });
  const signal = AbortSignal.any([stopped.signal, AbortSignal.timeout(limitMs)]);
  const kill = () => process.kill(-child.pid, 'SIGTERM');
  signal.addEventListener('abort', kill);
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (part) => {
    text += part;
  });
  const [status, by] = await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (...end) => resolve(end));
  });
  signal.removeEventListener('abort', kill);
  if (status !== 0) throw new Error(`${name} ended with ${by ?? `status ${status}`}`);
  return JSON.parse(text);
}

/** Unmounts what a benchmark left mounted, ends what it left running, and removes its directory. */
async function cleanUp(directory) {
  unmountBelow(directory);
  for (let wait = 0; wait < 20 && processesOf(directory).length > 0; wait++) await sleep(100);
  for (const { pid, program } of processesOf(directory)) {
    process.stderr.write(`ended a process that was left: ${program} (${pid})\n`);
    process.kill(pid, 'SIGKILL');
  }
  unmountBelow(directory);
  rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
}

/** @returns the result, with what the machine did besides */
async function run(name) {
  const before = await waitForQuiet();
  process.stderr.write(`\n${name}: load ${before.loadAverages.join(' ')}, ${Math.round(before.idle * 100)} % idle\n`);
  const directory = mkdtempSync(path.join(realpathSync(os.tmpdir()), 'sluice-bench-run-'));
  const start = Date.now();
  try {
    const result = await runScript(name, directory);
    const seconds = Math.round((Date.now() - start) / 1000);
    return { ...result, quick: options.quick, seconds, load: { before, after: loadAverages() } };
  } finally {
    await cleanUp(directory);
  }
}

function keep(name, result) {
  if (options.out === undefined) return;
  mkdirSync(options.out, { recursive: true });
  const major = /^v(\d+)/.exec(result.node)[1];
  writeFileSync(path.join(options.out, `${name}.node${major}.json`), `${JSON.stringify(result, undefined, 1)}\n`);
}

const names = positionals.length > 0 ? positionals : Object.keys(benchmarks);
const unknown = names.find((name) => !(name in benchmarks));
if (unknown !== undefined) throw new Error(`no benchmark "${unknown}": ${Object.keys(benchmarks).join(', ')}`);
process.stderr.write(`${execFileSync(options.node, ['--version'], { encoding: 'utf8' }).trim()}, ${options.node}\n`);

const missed = [];
const failed = [];
for (const name of names) {
  if (stopped.signal.aborted) break;
  try {
    const result = await run(name);
    keep(name, result);
    missed.push(...result.rows.filter((row) => isReached(row) === false).map(({ what }) => what));
  } catch (error) {
    failed.push(name);
    process.stderr.write(`${error.stack}\n`);
  }
}
for (const what of missed) process.stderr.write(`missed: ${what}\n`);
for (const name of failed) process.stderr.write(`FAILED: ${name}\n`);
process.exitCode = failed.length > 0 || stopped.signal.aborted ? 1 : 0;
