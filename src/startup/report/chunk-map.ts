import type { ChunkTimes } from '../result.ts';
import { timeColour } from './colours.ts';
import { drawing, element, hint, label } from './svg.ts';
import { seconds } from './units.ts';

const width = 860;
const square = 7;
const gap = 1;
const perRow = Math.floor(width / (square + gap));
const titleHeight = 18;
const scaleHeight = 34;
const scaleSteps = 24;

/** Cells beyond this stand for several chunks each: a map of a million squares is no map, and no page. */
const maximumCells = 12_000;

/** All chunks of an image, device by device in the order of the blob, coloured by when they came; grey ones were never read. */
export function chunkMap(title: string, { counts, arrivals }: ChunkTimes, readyMs: number): string {
  const total = counts.reduce((sum, count) => sum + count, 0);
  const perCell = Math.max(1, Math.ceil(total / maximumCells));
  const latest = Math.max(readyMs, ...arrivals.map(([ms]) => ms), 1);
  let y = 0;
  const parts = counts.map((count, device) => {
    const first = firstArrivals(arrivals, device, perCell);
    const cells = Math.ceil(count / perCell);
    const read = arrivals.filter(([, of]) => of === device).length;
    const words = label(0, y + 12, `blob ${device}: ${read} of ${count} chunks`, { class: 'tick' });
    const squares = Array.from({ length: cells }, (_, i) => cell(i, y + titleHeight, first.get(i), latest));
    y += titleHeight + Math.ceil(cells / perRow) * (square + gap) + 6;
    return words + squares.join('');
  });
  return drawing(width, y + scaleHeight, title, parts.join('') + timeScale(y + 6, latest));
}

function firstArrivals(arrivals: ChunkTimes['arrivals'], device: number, perCell: number): Map<number, number> {
  const first = new Map<number, number>();
  for (const [ms, of, chunk] of arrivals) {
    const at = Math.floor(chunk / perCell);
    if (of === device && !first.has(at)) first.set(at, ms);
  }
  return first;
}

function cell(index: number, y: number, ms: number | undefined, latest: number): string {
  const place = {
    x: (index % perRow) * (square + gap),
    y: y + Math.floor(index / perRow) * (square + gap),
    width: square,
    height: square,
  };
  if (ms === undefined) return element('rect', { ...place, class: 'unread' });
  return element('rect', { ...place, fill: timeColour(ms / latest) }, hint(`after ${seconds(ms)} s`));
}

function timeScale(y: number, latest: number): string {
  const steps = Array.from({ length: scaleSteps }, (_, i) =>
    element('rect', { x: i * 8, y, width: 8, height: 10, fill: timeColour(i / (scaleSteps - 1)) }),
  );
  return (
    steps.join('') +
    label(0, y + 24, '0 s', { class: 'tick' }) +
    label(scaleSteps * 8, y + 24, `${seconds(latest)} s`, { class: 'tick', 'text-anchor': 'end' }) +
    element('rect', { x: scaleSteps * 8 + 24, y: y + 1, width: square, height: square, class: 'unread' }) +
    label(scaleSteps * 8 + 36, y + 9, 'not read', { class: 'tick' })
  );
}
