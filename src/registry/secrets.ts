const hidden = '[redacted]';

/** A daemon lives long, and each token is new: what was replaced so often is valid no more. */
const maximumKnown = 64;
/** What is shorter is part of many words: a text with it is left out as a whole. */
const minimumLength = 4;
/** As much of a program's words as anybody reads. */
const maximumWords = 300;

/** What looks like a credential, in words of a program that knows some. */
const patterns: readonly (readonly [RegExp, string])[] = [
  [/([a-z][a-z0-9+.-]*:\/\/)[^\s/@"'<>]*@/gi, `$1${hidden}@`],
  [/(https?:\/\/[^\s?"'<>]*)\?[^\s"'<>]*/gi, `$1?${hidden}`],
  [/\b(bearer|basic)\s+\S+/gi, `$1 ${hidden}`],
  [/(\w*(?:passw(?:or)?d|secret|token|auth|key)\w*["']?\s*[=:]\s*)("[^"]*"?|'[^']*'?|\S+)/gi, `$1${hidden}`],
  [/[\w+/=.~-]{20,}/g, hidden],
];

/** The credentials that are in use, for one purpose: nobody is to read them in what a server says. */
export class Secrets {
  readonly #known = new Set<string>();

  /** In all the forms in which they are sent. */
  add(...secrets: readonly string[]): void {
    for (const secret of secrets.flatMap((one) => [one, encodeURIComponent(one)])) {
      this.#known.delete(secret);
      if (secret !== '') this.#known.add(secret);
    }
    for (const oldest of this.#known) {
      if (this.#known.size <= maximumKnown) break;
      this.#known.delete(oldest);
    }
  }

  /** `text` without them, in whatever case: some servers write their messages in lower case. */
  hide(text: string): string {
    let shown = text;
    // The longest first: one may be a part of another.
    for (const secret of [...this.#known].sort((a, b) => b.length - a.length)) {
      const pattern = new RegExp(secret.replace(/[^\w\s]/g, '\\$&'), 'gi');
      const clean = shown.replace(pattern, hidden);
      if (clean !== shown && secret.length < minimumLength) return hidden;
      shown = clean;
    }
    return shown;
  }
}

/**
 * What a program said, fit for a message: short, on one line, without what looks like a credential.
 * @param secrets - what it must not hold in any case
 */
export function redactWords(text: string, secrets: Secrets): string {
  const line = secrets
    .hide(text.slice(0, maximumWords * 4))
    .replace(/\s+/g, ' ')
    .trim();
  return patterns.reduce((result, [pattern, shown]) => result.replace(pattern, shown), line).slice(0, maximumWords);
}
