/** A family as a scraper understands it. */
export interface ParsedFamily {
  readonly type: string;
  readonly help: string;
  readonly samples: readonly ParsedSample[];
}

export interface ParsedSample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/**
 * Reads Prometheus text format 0.0.4, strictly: written from its description, and from nothing in src/.
 * @throws Error for a line out of place, a family in two parts, a sample twice
 */
export function parseExposition(text: string): Map<string, ParsedFamily> {
  const families = new Map<string, ParsedFamily>();
  const [before, ...parts] = text.split(/^# HELP /m);
  if (before !== '' || !text.endsWith('\n'))
    throw new Error('The text has a line before its first family, or half a line');
  for (const part of parts) {
    const [head = '', second = '', ...lines] = part.slice(0, -1).split('\n');
    const [, name = '', help = ''] = /^(\S+) (.*)$/.exec(head) ?? [];
    const [, type = ''] = new RegExp(`^# TYPE ${name} (counter|gauge|histogram)$`).exec(second) ?? [];
    if (type === '' || families.has(name)) throw new Error(`${name} has no type, or is there twice`);
    families.set(name, { type, help: plain(help), samples: samplesOf(name, type, lines) });
  }
  return families;
}

function samplesOf(family: string, type: string, lines: readonly string[]): ParsedSample[] {
  const names = type === 'histogram' ? ['_bucket', '_sum', '_count'].map((suffix) => family + suffix) : [family];
  const samples = lines.map(parseSample);
  const stranger = samples.find(({ name }) => !names.includes(name));
  if (stranger !== undefined) throw new Error(`${stranger.name} is among those of ${family}`);
  const keys = new Set(samples.map(({ name, labels }) => JSON.stringify([name, ...Object.entries(labels).sort()])));
  if (keys.size < samples.length) throw new Error(`${family} has a sample twice`);
  return samples;
}

function parseSample(line: string): ParsedSample {
  const [, name, , inside = '', value] =
    /^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{((?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\[\\n"])*",?)*)\})? (\S+)$/.exec(line) ?? [];
  if (name === undefined || value === undefined) throw new Error(`Cannot parse ${JSON.stringify(line)}`);
  const pairs = inside.matchAll(/([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g);
  const labels = Object.fromEntries(Array.from(pairs, ([, label, text]) => [label!, plain(text!)]));
  return { name, labels, value: value === '+Inf' ? Number.POSITIVE_INFINITY : Number(value) };
}

function plain(text: string): string {
  return text.replace(/\\(.)/g, (_, character: string) => (character === 'n' ? '\n' : character));
}
