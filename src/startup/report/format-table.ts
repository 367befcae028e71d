import type { BenchResult } from '../result.ts';
import { columns } from './columns.ts';
import { type Group, summarise } from './summarise.ts';

const header = columns.map(({ title }) => title);

/** The result as tables of text, one for each workload and link; each line ends with a newline. */
export function formatTable(result: BenchResult): string {
  const tables = summarise(result).map(formatGroup);
  const skipped = result.skipped.map(({ lane, reason }) => `skipped ${lane}: ${reason}\n`);
  return [...tables, skipped.join('')].filter((text) => text !== '').join('\n');
}

function formatGroup(group: Group): string {
  const samples = Math.min(...group.cells.map(({ count }) => count));
  const title = `${group.workload.name}, link ${group.link}${group.cells.length > 0 ? `, medians of ${samples}` : ''}\n`;
  const rows = [
    header,
    ...group.cells.map((cell) => columns.map(({ text }) => text(cell, group.workload.compressedBytes))),
  ];
  const failures = group.failures.map(({ lane, error }) => `  failed: ${lane}: ${error}\n`);
  return `${title}${align(rows)}${failures.join('')}`;
}

/** Names to the left, numbers to the right. */
function align(rows: readonly (readonly string[])[]): string {
  const widths = header.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    row.map((text, i) => (i === 0 ? text.padEnd(widths[i] ?? 0) : text.padStart(widths[i] ?? 0))).join('  ');
  return rows.map((row) => `  ${line(row)}\n`).join('');
}
