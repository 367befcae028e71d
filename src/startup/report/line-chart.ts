import type { Cell, Group } from './summarise.ts';
import { drawing, element, hint, label } from './svg.ts';
import { axisTicks, megabytes, seconds } from './units.ts';

const width = 860;
const height = 300;
const left = 56;
const right = 190;
const top = 10;
const bottom = 36;
/** Labels at the ends of lines keep this distance from each other. */
const labelHeight = 13;

/** Bytes received up to ready, over time: a line for each lane's typical start, with a dot where it was ready. */
export function lineChart({ link, workload, cells }: Group, colours: ReadonlyMap<string, string>): string {
  const times = axisTicks(Math.max(...cells.map(({ typical }) => typical.readyMs)) / 1000);
  const sizes = axisTicks(Math.max(...cells.map(({ typical }) => typical.bytes)) / 1e6, 5);
  const x = (ms: number): number => left + (ms / 1000 / (times.at(-1) ?? 1)) * (width - left - right);
  const y = (bytes: number): number => height - bottom - (bytes / 1e6 / (sizes.at(-1) ?? 1)) * (height - top - bottom);
  const grid = [
    ...sizes.map(
      (size) =>
        element('line', { x1: left, x2: width - right, y1: y(size * 1e6), y2: y(size * 1e6), class: 'grid' }) +
        label(left - 8, y(size * 1e6) + 4, `${size}`, { class: 'tick', 'text-anchor': 'end' }),
    ),
    ...times.map((time) =>
      label(x(time * 1000), height - bottom + 16, `${time}`, { class: 'tick', 'text-anchor': 'middle' }),
    ),
    label(left, height - 4, 'seconds; MB received', { class: 'tick' }),
  ];
  const places = spread(cells.map(({ typical }) => y(typical.bytes)));
  const lines = cells.map((cell, i) => {
    const { typical, lane } = cell;
    const stroke = colours.get(lane);
    const end = { x: x(typical.readyMs), y: y(typical.bytes) };
    const at = places[i] ?? end.y;
    return element(
      'g',
      {},
      hint(`${lane}: ${megabytes(typical.bytes)} MB when ready, after ${seconds(typical.readyMs)} s`) +
        element('polyline', { points: points(cell, x, y), fill: 'none', stroke, 'stroke-width': 2 }) +
        element('circle', { cx: end.x, cy: end.y, r: 4, fill: stroke }) +
        element('line', { x1: end.x + 5, x2: width - right + 4, y1: end.y, y2: at, stroke, class: 'leader' }) +
        label(width - right + 8, at + 4, `${lane} ${megabytes(typical.bytes)} MB`, { class: 'name', fill: stroke }),
    );
  });
  return drawing(
    width,
    height,
    `Bytes over time of ${workload.name} over link ${link}`,
    grid.join('') + lines.join(''),
  );
}

function points({ typical }: Cell, x: (ms: number) => number, y: (bytes: number) => number): string {
  const before = typical.timeline.filter(([ms]) => ms <= typical.readyMs);
  const all = [[0, 0] as const, ...before, [typical.readyMs, typical.bytes] as const];
  return all.map(([ms, bytes]) => `${x(ms).toFixed(1)},${y(bytes).toFixed(1)}`).join(' ');
}

/** Moves labels apart that would cover each other; each stays as near to its place as their order allows. */
function spread(places: readonly number[]): number[] {
  const order = places.map((place, i) => ({ place, i })).sort((a, b) => a.place - b.place);
  const moved: number[] = [];
  let free = top;
  for (const { place, i } of order) {
    moved[i] = Math.max(place, free);
    free = (moved[i] ?? 0) + labelHeight;
  }
  const over = Math.max(0, free - labelHeight - (height - bottom));
  return moved.map((place) => place - over);
}
