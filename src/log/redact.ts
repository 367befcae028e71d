const nameOfSecret = /(authorization|cookie|password|passwd|secret|token)$/i;

const patterns: readonly (readonly [RegExp, string])[] = [
  // A user and a password before the host, then what is signed: the query is the credential.
  [/(\b[a-z][a-z0-9+.-]{0,20}:\/\/)[^\s/@"'<>]*@/gi, '$1[redacted]@'],
  [/(\bhttps?:\/\/[^\s?"'<>]*)\?[^\s"'<>]*/gi, '$1?[redacted]'],
  [/\b(Bearer|Basic)\s+[\w+/=.~-]{16,}/gi, '$1 [redacted]'],
  [/(password|passwd|secret|token)(=|":\s*")[^\s"&,;]+/gi, '$1$2[redacted]'],
];

/**
 * Leaves out what looks like a credential. Errors of ours have none to begin with; this is for the words of libraries,
 * helpers and servers that their causes quote.
 */
export function redact(text: string): string {
  return patterns.reduce((result, [pattern, replacement]) => result.replace(pattern, replacement), text);
}

/** Whether what is under this name is nobody's business, whatever it looks like. */
export function isSecret(name: string): boolean {
  return nameOfSecret.test(name);
}
