/** @returns `undefined` when `text` is no URL */
export function parseUrl(text: string, base: URL): URL | undefined {
  return URL.canParse(text, base.href) ? new URL(text, base) : undefined;
}

/** Without user, password, query and fragment: a signed URL's query is a credential. */
export function redactUrl(url: URL): string {
  return `${url.protocol}//${url.host}${url.pathname}`;
}

/** Whether what goes to `url` is as private as what went to `from`: from https there is no way back to http. */
export function keepsPrivacy(url: URL, from: URL): boolean {
  return url.protocol === 'https:' || (url.protocol === 'http:' && from.protocol === 'http:');
}
