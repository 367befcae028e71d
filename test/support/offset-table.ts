import { readFileSync } from 'node:fs';

const text = readFileSync(new URL('../../docs/format.md', import.meta.url), 'utf8');
const sizes: Readonly<Record<string, number>> = { u8: 1, u16: 2, u32: 4, u64: 8 };

export interface OffsetRow {
  readonly offset: number;
  readonly size: number;
  readonly field: string;
}

/**
 * The rows of the table below `heading` in docs/format.md: `| offset | type | field | meaning |`.
 * @throws Error when the fields do not lie one after the other
 */
export function offsetTable(heading: string): OffsetRow[] {
  const section = text.split(/^#+ /m).find((part) => part.startsWith(`${heading}\n`));
  if (section === undefined) throw new Error(`docs/format.md has no section "${heading}"`);
  const rows = Array.from(
    section.matchAll(/^\| (\d+) \| (u\d+)(?:\[(\d+)\])? \| `(\w+)` \|/gm),
    ([, offset, type, count, field]): OffsetRow => ({
      offset: Number(offset),
      size: (sizes[type ?? ''] ?? Number.NaN) * Number(count ?? 1),
      field: field ?? '',
    }),
  );
  for (const [i, { offset, field }] of rows.entries()) {
    const previous = rows[i - 1];
    const expected = previous === undefined ? 0 : previous.offset + previous.size;
    if (offset !== expected) throw new Error(`"${heading}": ${field} is at ${offset}, want ${expected}`);
  }
  return rows;
}

/** What `format.ts` says, in the same form but for the sizes. */
export function offsetsOf(rows: readonly OffsetRow[]): Record<string, number> {
  return Object.fromEntries(rows.map(({ field, offset }) => [field, offset]));
}

/** The names in the first column of the table below `heading`: `` | `name` | … ``. */
export function tableColumn(heading: string): string[] {
  const section = text.split(/^#+ /m).find((part) => part.startsWith(`${heading}\n`)) ?? '';
  return Array.from(section.matchAll(/^\| `(\w+)` \|/gm), ([, name]) => name ?? '');
}
