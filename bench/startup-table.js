// Makes a table, in Markdown, of results of `sluice bench`: median seconds to ready, of each lane.
//
// node bench/startup-table.js RESULT.json… [--into FILE]
//
// --into   put it between the lines <!-- startup --> and <!-- /startup --> of FILE, instead of printing it
import { readFileSync } from 'node:fs';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { summarise } from '../dist/startup/report/summarise.js';
import { writeBetween } from './support/write-between.js';

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { into: { type: 'string' } },
});
const results = positionals.map((file) => JSON.parse(readFileSync(file, 'utf8')));
if (results.length === 0) throw new Error('which results? node bench/startup-table.js RESULT.json…');

const lanes = [
  ['containerd', 'containerd'],
  ['podman', 'podman'],
  ['estargz-untraced', 'eStargz'],
  ['estargz', 'eStargz, traced'],
  ['sluice-lazy', 'sluice'],
  ['sluice-traced', 'sluice, traced'],
  ['sluice-second', 'sluice, second run'],
  ['runc-unpacked', 'runc, unpacked'],
  ['floor', 'floor'],
];

const cells = (...texts) => `| ${texts.join(' | ')} |`;

function lineOf({ link, workload, cells: measured }) {
  const seconds = lanes.map(([lane]) => {
    const cell = measured.find((one) => one.lane === lane);
    return cell === undefined ? '–' : (cell.ready.median / 1000).toFixed(2);
  });
  const traced = measured.find(({ lane }) => lane === 'sluice-traced');
  const fetched = traced === undefined ? '–' : `${(traced.bytes / 1e6).toFixed(1)} MB, ${Math.round(traced.requests)}`;
  return cells(link, workload.name, ...seconds, fetched);
}

function render() {
  const header = cells('link', 'image', ...lanes.map(([, title]) => title), 'fetched, requests (traced)');
  const rule = `|${' --- |'.repeat(lanes.length + 3)}`;
  const rows = results.flatMap((result) => summarise(result).map(lineOf));
  const [{ machine, samplesPerLane }] = results;
  const place = `Medians of ${samplesPerLane}, cold, in seconds. ${machine.cores} × ${machine.cpu}, Linux ${machine.kernel}, Node ${machine.node}.`;
  return [header, rule, ...rows, '', place].join('\n');
}

if (options.into === undefined) process.stdout.write(`${render()}\n`);
else writeBetween(options.into, 'startup', render());
