// Makes a table, in Markdown, of the results that `npm run bench -- --out FOLDER` kept; of nothing else.
//
// npm run bench:table -- FOLDER [--into FILE]
//
// --into   put it between the lines <!-- bench --> and <!-- /bench --> of FILE, instead of printing it
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { formatAgainst, formatReach, formatSpread, formatValue, isReached } from './support/rows.js';
import { writeBetween } from './support/write-between.js';

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { into: { type: 'string' } },
});
if (positionals.length !== 1) throw new Error('which folder? node bench/table.js FOLDER [--into FILE]');
const [folder] = positionals;

const results = readdirSync(folder)
  .filter((name) => name.endsWith('.json'))
  .sort()
  .map((name) => JSON.parse(readFileSync(path.join(folder, name), 'utf8')));
if (results.length === 0) throw new Error(`no results in "${folder}"`);

const cells = (...texts) => `| ${texts.map((text) => text.replaceAll('|', '\\|')).join(' | ')} |`;
const mark = (row) => ({ true: ' ✓', false: ' ✗' })[String(isReached(row))] ?? '';

function lineOf(result, row) {
  const spread = formatSpread(row);
  const measured = `${formatValue(row.value, row.unit)}${spread === '' ? '' : ` (${spread})`}${mark(row)}`;
  const quick = result.quick ? ' (quick run)' : '';
  return cells(
    row.what + quick,
    measured,
    formatReach(row),
    formatAgainst(row),
    `\`${result.benchmark}\``,
    result.node,
  );
}

/** What the figures were measured on. */
function placeOf({ machine, commit, changed }) {
  const { cpu, cpus, kernel } = machine;
  return `${cpus} × ${cpu}, Linux ${kernel}, commit ${commit.slice(0, 12)}${changed ? ' with changes' : ''}.`;
}

function render() {
  const loads = results.map(({ load }) => load.before.loadAverages[0]);
  return [
    cells('what', 'median (lowest–highest)', 'to reach', 'in the same run', '`npm run bench --`', 'Node'),
    cells(...Array(6).fill('---')),
    ...results.flatMap((result) => result.rows.map((row) => lineOf(result, row))),
    '',
    ...new Set(results.map(placeOf)),
    `Load average before each benchmark: ${Math.min(...loads)} to ${Math.max(...loads)}.`,
  ].join('\n');
}

if (options.into === undefined) process.stdout.write(`${render()}\n`);
else writeBetween(options.into, 'bench', render());
