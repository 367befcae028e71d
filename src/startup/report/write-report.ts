import type { BenchResult } from '../result.ts';
import { barChart } from './bar-chart.ts';
import { chunkMap } from './chunk-map.ts';
import { laneColours } from './colours.ts';
import { columns } from './columns.ts';
import { lineChart } from './line-chart.ts';
import { type Cell, type Group, summarise } from './summarise.ts';
import { escapeText } from './svg.ts';

/** Drawn as SVG when it is written, so the page has no program in it and needs nothing from anywhere. */
const style = `
:root { color-scheme: light dark; --ink: #202124; --pale: #5f6368; --grid: #dadce0; --paper: #fff; --unread: #e3e5e8; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8eaed; --pale: #9aa0a6; --grid: #3c4043; --paper: #17181a; --unread: #303236; }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 900px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { margin-top: 3rem; border-bottom: 1px solid var(--grid); } h3 { margin: 2rem 0 .5rem; }
svg { width: 100%; height: auto; display: block; } svg text { font: 12px system-ui, sans-serif; fill: var(--ink); }
svg .tick { fill: var(--pale); font-size: 11px; } svg .grid { stroke: var(--grid); } svg .unread { fill: var(--unread); }
svg .whisker { stroke: var(--ink); stroke-width: 1.2; } svg .leader { opacity: .4; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 13px; }
th, td { padding: .25rem .6rem; text-align: right; border-bottom: 1px solid var(--grid); } th:first-child, td:first-child { text-align: left; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; } dt { color: var(--pale); } dd { margin: 0; }
.failed { color: #b3261e; }
`;

/** The result as one HTML page that needs nothing else: bars with spread, bytes over time, maps of chunks, all numbers. */
export function writeReport(result: BenchResult): string {
  const colours = laneColours(result.lanes);
  const groups = summarise(result);
  const sections = groups.map((group) => writeGroup(group, colours));
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>sluice: startup</title>
<style>${style}</style>
<h1>How soon a container is ready</h1>
${writeFacts(result)}
<p>Each bar is the median of the samples, the line over it goes from the least to the greatest. Its paler part is the time
before the container's own program ran. Every start was cold but where the lane's name says otherwise: empty store, page
cache dropped. Lanes ran in random order.</p>
${sections.join('\n')}
${writeSkipped(result)}
</html>
`;
}

function writeFacts({ when, machine, samplesPerLane, seed, links }: BenchResult): string {
  const facts = [
    ['measured', when],
    [
      'machine',
      `${machine.cores} × ${machine.cpu}, ${Math.round(machine.memoryBytes / 2 ** 30)} GiB, Linux ${machine.kernel}`,
    ],
    ['programs', `sluice ${machine.sluice}, Node ${machine.node}`],
    ['samples', `${samplesPerLane} a lane, order from seed ${seed}`],
    ['links', links.map(({ name }) => name).join(', ')],
  ] as const;
  return `<dl>${facts.map(([name, value]) => `<dt>${name}</dt><dd>${escapeText(value)}</dd>`).join('')}</dl>`;
}

function writeGroup(group: Group, colours: ReadonlyMap<string, string>): string {
  const { link, workload, cells, failures } = group;
  const heading = `<h2>${escapeText(workload.name)}, link ${escapeText(link)}</h2>`;
  const failed = failures.map(({ lane, error }) => `<p class="failed">${escapeText(`${lane} failed: ${error}`)}</p>`);
  if (cells.length === 0) return `${heading}<p>No start got ready.</p>${failed.join('')}`;
  const maps = cells.flatMap(({ lane, typical }) => {
    if (typical.chunks === undefined) return [];
    if (typical.chunks.arrivals.length === 0) {
      return `<p>${escapeText(lane)}: no whole chunk was fetched.</p>`;
    }
    const title = `Chunks of ${workload.name}, lane ${lane}`;
    return `<h3>${escapeText(lane)}: which chunks were read, and when</h3>${chunkMap(title, typical.chunks, typical.readyMs)}`;
  });
  return `${heading}
${barChart(group, colours)}
<h3>Bytes received until ready</h3>
${lineChart(group, colours)}
${writeTable(cells, workload.compressedBytes)}
${maps.join('\n')}
${failed.join('\n')}`;
}

function writeTable(cells: readonly Cell[], imageBytes: number): string {
  const head = columns.map(({ title }) => `<th>${title}</th>`).join('');
  const rows = cells.map((cell) =>
    columns.map(({ text }) => `<td>${escapeText(text(cell, imageBytes))}</td>`).join(''),
  );
  return `<div class="scroll"><table><tr>${head}</tr>${rows.map((row) => `<tr>${row}</tr>`).join('')}</table></div>`;
}

function writeSkipped({ skipped }: BenchResult): string {
  if (skipped.length === 0) return '';
  const items = skipped.map(({ lane, reason }) => `<dt>${escapeText(lane)}</dt><dd>${escapeText(reason)}</dd>`);
  return `<h2>Lanes this machine could not run</h2><dl>${items.join('')}</dl>`;
}
