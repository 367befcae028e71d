/**
 * The same order for the same seed, on any machine: Fisher and Yates' shuffle with the generator mulberry32, whose 32 bits
 * of state are plenty for a few hundred samples.
 * @param seed - a whole number below 2^32
 */
export function shuffler(seed: number): <Item>(items: readonly Item[]) => Item[] {
  let state = seed >>> 0;
  const below = (limit: number): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * limit);
  };
  return (items) => {
    const rest = [...items];
    return items.flatMap(() => rest.splice(below(rest.length), 1));
  };
}
