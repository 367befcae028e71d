/**
 * A row of a result: `what` was measured, the median `value` with the `low`est and `high`est sample in `unit`, the
 * `reach` it is held against (`{ atLeast }` or `{ atMost }`, in the same unit), and `against`: what else was measured
 * in the same run, each with `name`, `value` and perhaps a `unit` of its own.
 */

/** Whether the row's value is what it has to be; undefined when nothing was asked. */
export function isReached({ value, reach }) {
  if (reach === undefined) return undefined;
  return reach.atLeast === undefined ? value <= reach.atMost : value >= reach.atLeast;
}

/** A value with its unit, three digits at least. */
export function formatValue(value, unit) {
  const digits = value >= 100 ? 0 : value >= 10 ? 1 : 2;
  const number = value.toLocaleString('en', { maximumFractionDigits: digits });
  return unit === '' ? number : `${number} ${unit}`;
}

export function formatReach({ reach, unit }) {
  if (reach === undefined) return '';
  const sign = reach.atLeast === undefined ? '≤' : '≥';
  return `${sign} ${formatValue(reach.atLeast ?? reach.atMost, unit)}`;
}

export function formatAgainst({ against = [], unit }) {
  return against.map((other) => `${other.name} ${formatValue(other.value, other.unit ?? unit)}`).join(', ');
}

/** `1.10–1.32`, or nothing when there is one sample only. */
export function formatSpread({ low, high }) {
  return low === undefined || low === high ? '' : `${formatValue(low, '')}–${formatValue(high, '')}`;
}

/** One line for a terminal. */
export function formatRow(row) {
  const spread = formatSpread(row);
  const parts = [
    `${row.what}: ${formatValue(row.value, row.unit)}`,
    spread === '' ? '' : ` (${spread})`,
    row.reach === undefined ? '' : ` [${formatReach(row)}: ${isReached(row) ? 'reached' : 'MISSED'}]`,
    row.against === undefined ? '' : `; ${formatAgainst(row)}`,
  ];
  return parts.join('');
}
