import type { Group } from './summarise.ts';
import { drawing, element, hint, label } from './svg.ts';
import { axisTicks, seconds } from './units.ts';

const width = 860;
const left = 190;
const right = 90;
const rowHeight = 26;
const barHeight = 15;
const top = 8;
const axisHeight = 34;

/**
 * Time to ready, a bar for each lane: as long as the median, with a line from the least to the greatest. The part before
 * the container's program ran is paler.
 */
export function barChart({ link, workload, cells }: Group, colours: ReadonlyMap<string, string>): string {
  const ticks = axisTicks(Math.max(...cells.map(({ ready }) => ready.greatest)) / 1000);
  const scale = (width - left - right) / (1000 * (ticks.at(-1) ?? 1));
  const bottom = top + cells.length * rowHeight;
  const grid = ticks.map((tick) => {
    const x = left + tick * 1000 * scale;
    return (
      element('line', { x1: x, x2: x, y1: top, y2: bottom, class: 'grid' }) +
      label(x, bottom + 15, `${tick}`, { class: 'tick', 'text-anchor': 'middle' })
    );
  });
  const bars = cells.map(({ lane, ready, firstExecMs, count }, row) => {
    const y = top + row * rowHeight + (rowHeight - barHeight) / 2;
    const middle = y + barHeight / 2;
    const end = left + ready.median * scale;
    const fill = colours.get(lane);
    const before = Math.min(firstExecMs ?? 0, ready.median) * scale;
    const words = `${lane}: ready after ${seconds(ready.median)} s (${seconds(ready.least)} to ${seconds(ready.greatest)}, ${count} samples), its program ran after ${seconds(firstExecMs)} s`;
    return element(
      'g',
      {},
      hint(words) +
        label(left - 8, middle + 4, lane, { class: 'name', 'text-anchor': 'end' }) +
        element('rect', { x: left, y, width: before, height: barHeight, fill, opacity: 0.55 }) +
        element('rect', { x: left + before, y, width: ready.median * scale - before, height: barHeight, fill }) +
        whisker(left + ready.least * scale, left + ready.greatest * scale, middle) +
        label(Math.max(end, left + ready.greatest * scale) + 8, middle + 4, `${seconds(ready.median)} s`, {
          class: 'value',
        }),
    );
  });
  const unit = label(left, bottom + 30, 'seconds to ready', { class: 'tick' });
  const title = `Time to ready of ${workload.name} over link ${link}`;
  return drawing(width, bottom + axisHeight, title, grid.join('') + bars.join('') + unit);
}

function whisker(from: number, to: number, y: number): string {
  const line = element('line', { x1: from, x2: to, y1: y, y2: y, class: 'whisker' });
  const ends = [from, to].map((x) => element('line', { x1: x, x2: x, y1: y - 4, y2: y + 4, class: 'whisker' }));
  return line + ends.join('');
}
