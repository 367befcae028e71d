import { request } from 'node:http';

/** What a client that is not ours gets. */
export interface Answer {
  readonly status: number;
  readonly type: string | undefined;
  readonly text: string;
  /** The text as JSON; undefined when it is none. */
  readonly body: unknown;
}

/** Asks an HTTP server on a socket file, or on `HOST:PORT`. */
export function ask(place: string, method: string, url: string, body = ''): Promise<Answer> {
  const [, host, port] = /^([^/]+):(\d+)$/.exec(place) ?? [];
  const address = host === undefined ? { socketPath: place } : { host, port };
  return new Promise((resolve, reject) => {
    // Of itself, Node says it for some methods only.
    const headers = { 'content-length': Buffer.byteLength(body) };
    const sent = request({ ...address, method, path: url, headers, agent: false }, async (response) => {
      let text = '';
      for await (const part of response.setEncoding('utf8')) text += part;
      const type = response.headers['content-type'];
      resolve({ status: response.statusCode ?? 0, type, text, body: parsed(text) });
    });
    sent.on('error', reject).end(body);
  });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
