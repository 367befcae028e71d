/**
 * Colours of lanes: one hue for sluice, so that it is found at a glance; others for what it is compared with. Told apart
 * also by people who don't see red and green, and by the labels beside every bar and line.
 */
const ours = ['#0b5fa5', '#2f8fd8', '#7fbdf0', '#123d66', '#a9d3f5'];
const others = ['#b5541c', '#8a6d00', '#7a4a99', '#3d7f5b', '#a8446c', '#6b6f76', '#c98b2b', '#4f5b93'];
const yardstick = '#3c4043';

/** The colour of each lane, the same in every chart of a report. */
export function laneColours(lanes: readonly string[]): ReadonlyMap<string, string> {
  const colours = new Map<string, string>();
  let [own, other] = [0, 0];
  for (const lane of lanes) {
    if (lane.startsWith('sluice')) colours.set(lane, ours[own++ % ours.length] ?? yardstick);
    else if (lane === 'floor') colours.set(lane, yardstick);
    else colours.set(lane, others[other++ % others.length] ?? yardstick);
  }
  return colours;
}

/** From early to late: a scale that gets darker evenly. @param share - 0 to 1 */
export function timeColour(share: number): string {
  const [from, to] = [
    [255, 214, 92],
    [122, 4, 65],
  ];
  const channel = (i: number): number => Math.round((from?.[i] ?? 0) + ((to?.[i] ?? 0) - (from?.[i] ?? 0)) * share);
  return `rgb(${channel(0)},${channel(1)},${channel(2)})`;
}
