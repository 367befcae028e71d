/** The middle one, the upper of two. */
export function median(values) {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
}

/** What a row of a result says of its samples. */
export function summary(values) {
  return { value: median(values), low: Math.min(...values), high: Math.max(...values) };
}
