/** What is known of a metric before it has a value. */
export interface Family {
  readonly name: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly labels: readonly string[];
  /** One sentence, for people who meet it in a query. */
  readonly help: string;
}

/** One value; `labels` are in the order of the family's. */
export interface Sample {
  readonly labels: readonly string[];
  readonly value: number;
}

/**
 * Durations, counted by powers of two: `counts[i]` of them took less than 2^i µs, and at least 2^(i-1) µs, which makes
 * the index of a duration `32 - Math.clz32(microseconds)`. Of the last bucket there is no upper end.
 */
export interface Latencies {
  readonly counts: ArrayLike<number>;
  /** All durations together; undefined where nobody adds them up. */
  readonly seconds: number | undefined;
}

export interface HistogramSample extends Latencies {
  readonly labels: readonly string[];
}

/** No answer of ours is quicker than 2^3 µs by much: the buckets below are shown as one. */
const firstBucket = 3;

/** A name of somebody else's choosing, a path of 4096 bytes say, in every line of its mount. */
const maximumLabelLength = 1024;

/**
 * Text in the form Prometheus reads. Every family is written whole, one after the other.
 *
 * Source: Prometheus, "Exposition formats", text format 0.0.4.
 */
export class Exposition {
  #text = '';

  /** Of samples with the same labels the first one counts: a scrape with both would be refused as a whole. */
  add(family: Family, samples: Iterable<Sample>): void {
    this.#head(family);
    for (const sample of distinct(samples)) this.#line(family.name, labelsText(family, sample.labels), sample.value);
  }

  /** Like {@link add}. */
  addHistogram(family: Family, samples: Iterable<HistogramSample>): void {
    this.#head(family);
    for (const { labels, counts, seconds } of distinct(samples)) {
      const bucket = (le: string): string => labelsText(family, labels, `le="${le}"`);
      let below = 0;
      for (let exponent = 0; exponent < counts.length - 1; exponent++) {
        below += counts[exponent] ?? 0;
        if (exponent >= firstBucket) this.#line(`${family.name}_bucket`, bucket(String(2 ** exponent / 1e6)), below);
      }
      below += counts[counts.length - 1] ?? 0;
      this.#line(`${family.name}_bucket`, bucket('+Inf'), below);
      if (seconds !== undefined) this.#line(`${family.name}_sum`, labelsText(family, labels), seconds);
      this.#line(`${family.name}_count`, labelsText(family, labels), below);
    }
  }

  text(): string {
    return this.#text;
  }

  #head({ name, type, help }: Family): void {
    this.#text += `# HELP ${name} ${help.replace(/[\\\n]/g, escaped)}\n# TYPE ${name} ${type}\n`;
  }

  #line(name: string, labels: string, value: number): void {
    this.#text += `${name}${labels} ${valueText(value)}\n`;
  }
}

function* distinct<T extends { readonly labels: readonly string[] }>(samples: Iterable<T>): Iterable<T> {
  const seen = new Set<string>();
  for (const sample of samples) {
    const key = sample.labels.map(clean).join('\0');
    if (seen.has(key)) continue;
    seen.add(key);
    yield sample;
  }
}

function labelsText({ labels }: Family, values: readonly string[], ...more: readonly string[]): string {
  const pairs = labels.map((label, i) => `${label}="${clean(values[i] ?? '').replace(/[\\"\n]/g, escaped)}"`);
  return pairs.length + more.length === 0 ? '' : `{${[...pairs, ...more].join(',')}}`;
}

/** Bounded, and without control characters, some of which end the text for its reader. */
function clean(value: string): string {
  return value.slice(0, maximumLabelLength).replace(/(?!\n)\p{Cc}/gu, '\ufffd');
}

function escaped(character: string): string {
  return character === '\n' ? '\\n' : `\\${character}`;
}

function valueText(value: number): string {
  if (Number.isFinite(value) || Number.isNaN(value)) return String(value);
  return value > 0 ? '+Inf' : '-Inf';
}
