import { readFileSync, writeFileSync } from 'node:fs';

/** Replaces what stands between the lines `<!-- NAME -->` and `<!-- /NAME -->` of a file. */
export function writeBetween(file, name, content) {
  const [begin, end] = [`<!-- ${name} -->`, `<!-- /${name} -->`];
  const text = readFileSync(file, 'utf8');
  const [start, stop] = [text.indexOf(begin), text.indexOf(end)];
  if (start === -1 || stop < start) throw new Error(`no lines ${begin} and ${end} in "${file}"`);
  writeFileSync(file, `${text.slice(0, start + begin.length)}\n\n${content}\n\n${text.slice(stop)}`);
}
