// A proxy on loopback that spoils what a registry answers, at random and by a seed: the network as it is on a bad day.
import { createServer, request } from 'node:http';

/** xorshift32: the same numbers for the same seed. */
export function randomNumbers(seed) {
  let state = (seed * 2654435761 + 1) | 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

/** What can go wrong with the body of a blob, and what a client sees of it. */
const faults = {
  /** The connection is reset before an answer. */
  reset: ({ reply }) => reply.socket.resetAndDestroy(),
  /** Too busy, for as long as it says. */
  busy: ({ reply, random }) => answer(reply, random() < 0.5 ? 429 : 503, { 'retry-after': '1' }),
  broken: ({ reply }) => answer(reply, 500),
  /** Somebody changed the password, for one request. */
  denied: ({ reply }) => answer(reply, 403),
  /** The body ends early. */
  truncated: (exchange) => forward(exchange, { cut: exchange.random() }),
  /** The body stops, and the connection stays. */
  stalled: (exchange) => forward(exchange, { cut: exchange.random(), stall: true }),
  /** One bit is another. */
  flipped: (exchange) => forward(exchange, { flip: exchange.random() }),
  /** A few bytes at a time. */
  slow: (exchange) => forward(exchange, { dripMs: 5 }),
  /** The answer is late. */
  late: (exchange) => setTimeout(() => forward(exchange), 50 + 500 * exchange.random()),
  /** All of the blob, whatever was asked for. */
  whole: (exchange) => forward(exchange, { withoutRange: true }),
  /** Another range than was asked for. */
  elsewhere: (exchange) => forward(exchange, { shift: 4096 }),
};

/** Longer than anybody takes to ask again. */
const flipPauseMs = 5000;

function answer(reply, status, headers = {}) {
  reply.writeHead(status, { 'content-length': '0', ...headers }).end();
}

function shifted(range, by) {
  return range?.replace(/\d+/g, (digits) => String(Number(digits) + by));
}

/** Passes a request on, and its answer back with what `spoil` says. */
function forward({ incoming, reply, upstream, random }, spoil = {}) {
  const { cut, stall, flip, dripMs, withoutRange, shift = 0 } = spoil;
  const headers = { ...incoming.headers, range: withoutRange ? undefined : shifted(incoming.headers.range, shift) };
  if (headers.range === undefined) delete headers.range;
  const options = { host: '127.0.0.1', port: upstream, path: incoming.url, method: incoming.method, headers };
  const outgoing = request(options, (response) => {
    const length = Number(response.headers['content-length'] ?? 0);
    const end = cut === undefined ? Number.POSITIVE_INFINITY : Math.floor(cut * length);
    const flipAt = flip === undefined ? -1 : Math.floor(flip * length);
    reply.writeHead(response.statusCode, response.headers);
    let position = 0;
    response.on('data', (piece) => {
      if (flipAt >= position && flipAt < position + piece.length)
        piece[flipAt - position] ^= 1 << Math.floor(random() * 8);
      const part = piece.subarray(0, Math.max(0, end - position));
      position += piece.length;
      reply.write(part);
      if (dripMs !== undefined) {
        response.pause();
        setTimeout(() => response.resume(), dripMs);
      }
      if (position >= end && !stall) reply.socket?.destroy();
    });
    response.on('end', () => position < end && reply.end());
    response.on('error', () => reply.destroy());
  });
  outgoing.on('error', () => reply.socket?.destroy());
  reply.on('close', () => outgoing.destroy());
  incoming.pipe(outgoing);
}

/**
 * @param upstream - port of the registry on loopback, which may come and go
 * @returns `port`, `counts` of faults, `isCalm` to be set, and `close`
 */
export async function startFaultyProxy({ upstream, seed, share }) {
  const random = randomNumbers(seed);
  const counts = Object.fromEntries(Object.keys(faults).map((name) => [name, 0]));
  const proxy = { counts, requests: 0, isCalm: false };
  let flippedAt = Number.NEGATIVE_INFINITY;
  const server = createServer((incoming, reply) => {
    const exchange = { incoming, reply, upstream, random };
    const isBlob = incoming.method === 'GET' && incoming.url.includes('/blobs/');
    proxy.requests++;
    if (proxy.isCalm || !isBlob || random() >= share) return forward(exchange);
    const names = Object.keys(faults);
    const name = names[Math.floor(random() * names.length)];
    // Wrong bytes twice in a row are an error to a reader, and are meant to be: there is nobody else to ask.
    if (name === 'flipped' && performance.now() - flippedAt < flipPauseMs) return forward(exchange);
    if (name === 'flipped') flippedAt = performance.now();
    counts[name]++;
    return faults[name](exchange);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const close = () => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  };
  return Object.assign(proxy, { port: server.address().port, close });
}
