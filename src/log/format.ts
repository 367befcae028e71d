import type { FactValue, LogRecord } from './record.ts';

export type LogFormat = 'text' | 'json';

/** One line each, whatever is in the record, and with its end. */
export const formats: Readonly<Record<LogFormat, (record: LogRecord) => string>> = { text: textLine, json: jsonLine };

/** `2026-11-21T10:00:00.000Z warn fetch:retry attempt=2 error="Cannot reach … (SLUICE_REGISTRY_TIMEOUT)"` */
function textLine({ time, level, event, facts }: LogRecord): string {
  const pairs = Object.entries(facts).map(([name, value]) => ` ${name}=${valueText(value)}`);
  return `${time} ${level} ${event}${pairs.join('')}\n`;
}

function jsonLine(record: LogRecord): string {
  return `${visible(JSON.stringify(record))}\n`;
}

function valueText(value: FactValue): string {
  if (typeof value !== 'object' || value === null) return quoted(String(value));
  const { code, message, causes } = value;
  return quoted([message, ...causes].join(': ') + (code === undefined ? '' : ` (${code})`));
}

function quoted(text: string): string {
  return /^[\w./:@+%,~-]+$/.test(text) ? text : visible(JSON.stringify(text));
}

/** What would move a terminal's cursor, or change the order of what is read. JSON has no need to escape it. */
function visible(json: string): string {
  return json.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) =>
    Array.from(
      { length: character.length },
      (_, i) => `\\u${character.charCodeAt(i).toString(16).padStart(4, '0')}`,
    ).join(''),
  );
}
