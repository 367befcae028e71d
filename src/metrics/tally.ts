import type { Exposition, Family, HistogramSample, Sample } from './exposition.ts';

/** Hosts and places are named by others: a registry that redirects to ever new ones fills no memory, here or there. */
const maximumSeries = 100;

/** The last of them begins at 2^25 µs, 34 s: longer than a read usually waits. */
const latencyBuckets = 27;

/** Takes the place of every label when there is no room for another combination of them. */
const other = 'other';

/** One value for each combination of labels. */
class Series<Value> {
  readonly #make: (labels: readonly string[]) => Value;
  readonly #values = new Map<string, Value>();

  constructor(make: (labels: readonly string[]) => Value) {
    this.#make = make;
  }

  at(labels: readonly string[]): Value {
    const known = this.#values.get(keyOf(labels));
    if (known !== undefined) return known;
    return this.#values.size < maximumSeries ? this.#own(labels) : this.#own(labels.map(() => other));
  }

  all(): Iterable<Value> {
    return this.#values.values();
  }

  #own(labels: readonly string[]): Value {
    const key = keyOf(labels);
    const value = this.#values.get(key) ?? this.#make(labels);
    this.#values.set(key, value);
    return value;
  }
}

function keyOf(labels: readonly string[]): string {
  return labels.length === 1 ? (labels[0] ?? '') : labels.join('\0');
}

/** Counts events, or adds up what they say. */
export class Tally {
  readonly #family: Family;
  readonly #series = new Series<Sample & { value: number }>((labels) => ({ labels, value: 0 }));

  /** @param known - labels that are shown before anything was counted, so that the first event is seen as one */
  constructor(family: Family, ...known: readonly (readonly string[])[]) {
    this.#family = family;
    for (const labels of family.labels.length === 0 ? [[]] : known) this.#series.at(labels);
  }

  add(amount: number, ...labels: readonly string[]): void {
    this.#series.at(labels).value += amount;
  }

  show(exposition: Exposition): void {
    exposition.add(this.#family, this.#series.all());
  }
}

/** Counts durations. */
export class LatencyTally {
  readonly #family: Family;
  readonly #series = new Series<HistogramSample & { readonly counts: Float64Array; seconds: number }>((labels) => ({
    labels,
    counts: new Float64Array(latencyBuckets),
    seconds: 0,
  }));

  /** @param known - as for {@link Tally} */
  constructor(family: Family, ...known: readonly (readonly string[])[]) {
    this.#family = family;
    for (const labels of known) this.#series.at(labels);
  }

  add(milliseconds: number, ...labels: readonly string[]): void {
    const sample = this.#series.at(labels);
    const bucket = Math.min(32 - Math.clz32(milliseconds * 1000), latencyBuckets - 1);
    sample.counts[bucket] = (sample.counts[bucket] ?? 0) + 1;
    sample.seconds += milliseconds / 1000;
  }

  show(exposition: Exposition): void {
    exposition.addHistogram(this.#family, this.#series.all());
  }
}
