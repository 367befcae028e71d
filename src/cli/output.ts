import { SluiceError } from '../errors.ts';

/** Results go to stdout: one JSON document with `--json`, else the text. */
export function printResult(json: boolean | undefined, value: unknown, text: () => string): void {
  process.stdout.write(json === true ? `${JSON.stringify(value, bigintAsNumber, 2)}\n` : text());
}

/** What a person should know while the command runs goes to stderr. */
export function note(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** One line for people, or one JSON object a line with `--json`; both to stderr. */
export function reportError(error: unknown, json: boolean): void {
  if (!(error instanceof SluiceError)) {
    note(error instanceof Error ? `sluice: ${error.stack ?? error.message}` : `sluice: ${String(error)}`);
    return;
  }
  if (json) {
    const { code, message, facts } = error;
    note(JSON.stringify({ error: { code, message, facts, causes: causes(error) } }, bigintAsNumber));
    return;
  }
  const chain = [error.message, ...causes(error)].join(': ');
  note(`sluice: ${chain} (${error.code})`);
}

/** 1234567 → `1.18 MiB`. */
export function bytesText(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes;
  let unit = 0;
  for (; value >= 1024 && unit < units.length - 1; unit++) value /= 1024;
  return `${unit === 0 ? value : value.toFixed(value < 10 ? 2 : 1)} ${units[unit]}`;
}

/** Rows of cells as aligned columns, the first to the left, the others to the right. */
export function tableText(rows: readonly (readonly string[])[]): string {
  return columnsText(rows, '<');
}

/** Rows of cells as aligned columns. @param alignment - `<` or `>` for each; what it does not name goes to the right */
export function columnsText(rows: readonly (readonly string[])[], alignment: string): string {
  const widths = (rows[0] ?? []).map((_, i) => rows.reduce((width, row) => Math.max(width, row[i]?.length ?? 0), 0));
  const cellText = (cell: string, i: number): string =>
    alignment[i] === '<' ? cell.padEnd(i + 1 === widths.length ? 0 : (widths[i] ?? 0)) : cell.padStart(widths[i] ?? 0);
  const line = (row: readonly string[]): string => row.map(cellText).join('  ');
  // A name may end in spaces; those of an empty last cell are ours.
  return rows.map((row) => `${row.at(-1) === '' ? line(row).trimEnd() : line(row)}\n`).join('');
}

function causes(error: Error): string[] {
  const messages: string[] = [];
  for (let cause = error.cause; cause instanceof Error && messages.length < 8; cause = cause.cause) {
    // A message may quote that of its cause.
    if (!(messages.at(-1) ?? error.message).includes(cause.message)) messages.push(cause.message);
  }
  return messages;
}

function bigintAsNumber(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? Number(value) : value;
}
