/** What a registry says it wants: `Basic realm="…"`, `Bearer realm="…",service="…",scope="…"`. */
export interface Challenge {
  /** In lower case. */
  readonly scheme: string;
  readonly parameters: Readonly<Record<string, string>>;
}

/** Longest header looked at: the grammar below is linear, but a header is the other side's to make. */
const maximumLength = 8192;

const token = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const part = new RegExp(
  `\\s*(?:,\\s*)*(?:(${token})\\s*=\\s*(?:"((?:[^"\\\\]|\\\\.)*)"|(${token}))|(${token})(?=\\s|,|$))`,
  'y',
);

/**
 * Reads a WWW-Authenticate header. What does not parse ends the reading; what was read before it counts.
 * Source: RFC 9110, 11.6.1; distribution-spec token authentication.
 */
export function parseChallenges(header: string): Challenge[] {
  const challenges: { scheme: string; parameters: Record<string, string> }[] = [];
  const text = header.slice(0, maximumLength);
  part.lastIndex = 0;
  for (let match = part.exec(text); match !== null; match = part.exec(text)) {
    const [, name, quoted, bare, scheme] = match;
    if (scheme !== undefined) {
      challenges.push({ scheme: scheme.toLowerCase(), parameters: Object.create(null) });
    } else if (name !== undefined) {
      const last = challenges.at(-1);
      if (last === undefined) break;
      last.parameters[name.toLowerCase()] = quoted?.replace(/\\(.)/g, '$1') ?? bare ?? '';
    }
  }
  return challenges;
}
