import { setTimeout as sleep } from 'node:timers/promises';
import type { ApiReply, ApiRequest } from '../../../src/demo/registry-routes.ts';
import { errorReply } from '../../../src/demo/registry-routes.ts';
import { kindOf, type RequestKind } from './kinds.ts';

/** What goes wrong with a request. `after` and `at` count bytes of the body that is sent. */
export type Fault =
  /** Closes the connection; `received`: only when the request's body has been read and handled. */
  | { readonly kind: 'drop'; readonly received?: boolean }
  /** Reads this many bytes of the request's body, hands them on, and closes the connection. */
  | { readonly kind: 'drop-upload'; readonly after: number }
  /** Sends this many bytes of the body and closes the connection. */
  | { readonly kind: 'truncate'; readonly after: number }
  /** Sends this many bytes of the body, then nothing more; the connection stays open. */
  | { readonly kind: 'stall'; readonly after: number }
  /** Flips all bits of one byte of the body. */
  | { readonly kind: 'corrupt'; readonly at: number }
  /** Flips one bit of the body: `at` counts bits. */
  | { readonly kind: 'flip'; readonly at: number }
  /** Sends `length` bytes of the body twice, the second time in place of those that follow. */
  | { readonly kind: 'duplicate'; readonly at: number; readonly length: number }
  /** Swaps `length` bytes of the body with those that follow. */
  | { readonly kind: 'swap'; readonly at: number; readonly length: number }
  /** Sends so many bytes at a time, and waits between: slow-loris. */
  | { readonly kind: 'slow'; readonly bytes: number; readonly everyMs: number }
  /** Resets the connection (RST), after so many bytes of the body. */
  | { readonly kind: 'reset'; readonly after: number }
  /** Answers something that is not HTTP. */
  | { readonly kind: 'garbage' }
  /** Answers with a redirect, wherever that leads. */
  | { readonly kind: 'redirect'; readonly to: string }
  /** Answers 200 and nothing. */
  | { readonly kind: 'empty' }
  /** Answers another range than was asked for, with its right Content-Range. */
  | { readonly kind: 'shift-range'; readonly by: number }
  | { readonly kind: 'delay'; readonly ms: number }
  /** Answers 200 and the whole blob to a range request, as a pull-through mirror does. */
  | { readonly kind: 'ignore-range' }
  /** Sends other headers with an otherwise right answer; an empty value leaves the header out. */
  | { readonly kind: 'headers'; readonly headers: Readonly<Record<string, string>> }
  | {
      readonly kind: 'status';
      readonly status: number;
      readonly headers?: Record<string, string>;
      readonly code?: string;
    };

/** Which requests a fault strikes; what is not given matches all. */
export interface FaultRule {
  readonly on?: RequestKind;
  readonly method?: string;
  readonly path?: RegExp;
  /** Lets this many matching requests pass first. Default 0. */
  readonly skip?: number;
  /** Strikes this many times. Default 1. */
  readonly times?: number;
  /** Strikes a part of the requests that it could, from 0 to 1, by the seed of {@link Faults.seed}. Default: all. */
  readonly share?: number;
  readonly fault: Fault;
}

interface ActiveRule {
  readonly rule: FaultRule;
  skip: number;
  times: number;
}

function matches({ on, method, path }: FaultRule, request: ApiRequest): boolean {
  return (
    (on === undefined || on === kindOf(request.target)) &&
    (method === undefined || method === request.method) &&
    (path === undefined || path.test(request.target))
  );
}

/** The script: rules in the order they were added; a request is struck by every rule that matches. */
export class Faults {
  #rules: ActiveRule[] = [];
  #random = 1;

  /** Makes what strikes by chance the same on every run. */
  seed(seed: number): void {
    this.#random = (seed * 2654435761 + 1) | 0 || 1;
  }

  add(rule: FaultRule): void {
    this.#rules.push({ rule, skip: rule.skip ?? 0, times: rule.times ?? 1 });
  }

  clear(): void {
    this.#rules = [];
  }

  /** Takes the faults of one request off the script. */
  strike(request: ApiRequest): Fault[] {
    const struck: Fault[] = [];
    for (const active of this.#rules) {
      if (!matches(active.rule, request) || !this.#isChosen(active.rule)) continue;
      if (active.skip > 0) active.skip--;
      else if (active.times > 0) {
        active.times--;
        struck.push(active.rule.fault);
      }
    }
    return struck;
  }

  #isChosen({ share = 1 }: FaultRule): boolean {
    return share >= 1 || this.#chance() < share;
  }

  /** From 0 up to 1. Marsaglia's xorshift, 32 bits. */
  #chance(): number {
    this.#random ^= this.#random << 13;
    this.#random ^= this.#random >>> 17;
    this.#random ^= this.#random << 5;
    return (this.#random >>> 0) / 2 ** 32;
  }
}

/** Thrown into the middle of a body: the server closes the connection. */
export class Dropped extends Error {}

async function* chunksOf(body: ApiReply['body']): AsyncGenerator<Uint8Array> {
  if (body instanceof Uint8Array) yield body;
  else yield* body;
}

const gone = (): Promise<never> => Promise.reject(new Dropped());

/** Passes on `limit` bytes, then waits for `end`, which may throw or never come. */
async function* cut(body: ApiReply['body'], limit: number, end: () => Promise<never>): AsyncGenerator<Uint8Array> {
  let left = limit;
  if (left === 0) await end();
  for await (const chunk of chunksOf(body)) {
    const part = chunk.subarray(0, left);
    left -= part.byteLength;
    if (part.byteLength > 0) yield part;
    if (left === 0) await end();
  }
}

async function* flipped(body: ApiReply['body'], at: number): AsyncGenerator<Uint8Array> {
  let position = 0;
  for await (const chunk of chunksOf(body)) {
    const copy = Uint8Array.from(chunk);
    const index = at - position;
    if (index >= 0 && index < copy.length) copy[index] = ~(copy[index] ?? 0) & 0xff;
    position += copy.length;
    yield copy;
  }
}

/** The whole body, changed. */
async function* changed(body: ApiReply['body'], change: (bytes: Buffer) => void): AsyncGenerator<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const chunk of chunksOf(body)) parts.push(chunk);
  const bytes = Buffer.concat(parts);
  change(bytes);
  yield bytes;
}

async function* dripped(body: ApiReply['body'], bytes: number, everyMs: number): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunksOf(body)) {
    for (let at = 0; at < chunk.length; at += bytes) {
      yield chunk.subarray(at, at + bytes);
      await sleep(everyMs);
    }
  }
}

/** What a fault makes of the bytes of a body. */
const changes = {
  flip: (bytes: Buffer, { at }: Extract<Fault, { kind: 'flip' }>) => {
    const byte = Math.floor(at / 8);
    if (byte < bytes.length) bytes[byte] = (bytes[byte] ?? 0) ^ (1 << (at % 8));
  },
  duplicate: (bytes: Buffer, { at, length }: Extract<Fault, { kind: 'duplicate' }>) => {
    bytes.copyWithin(at + length, at, at + length);
  },
  swap: (bytes: Buffer, { at, length }: Extract<Fault, { kind: 'swap' }>) => {
    const first = Buffer.from(bytes.subarray(at, at + length));
    bytes.copyWithin(at, at + length, at + 2 * length);
    bytes.set(first.subarray(0, Math.max(0, bytes.length - at - length)), Math.min(bytes.length, at + length));
  },
};

const shifted = (range: string | undefined, by: number): string | undefined =>
  range?.replace(/\d+/g, (digits) => String(Number(digits) + by));

/** The request as the registry gets to see it. */
export function spoilRequest(request: ApiRequest, faults: readonly Fault[]): ApiRequest {
  let spoilt = request;
  for (const fault of faults) {
    if (fault.kind === 'ignore-range') spoilt = { ...spoilt, headers: { ...spoilt.headers, range: undefined } };
    if (fault.kind === 'shift-range')
      spoilt = { ...spoilt, headers: { ...spoilt.headers, range: shifted(spoilt.headers.range, fault.by) } };
    if (fault.kind === 'drop-upload') spoilt = { ...spoilt, body: cut(spoilt.body, fault.after, gone) };
  }
  return spoilt;
}

/** The answer that takes the place of the registry's, if any. */
export function replacement(faults: readonly Fault[]): ApiReply | undefined {
  const redirect = faults.find((candidate) => candidate.kind === 'redirect');
  const headers = { 'content-length': '0' };
  const body = new Uint8Array();
  if (redirect?.kind === 'redirect') return { status: 307, headers: { ...headers, location: redirect.to }, body };
  if (faults.some((candidate) => candidate.kind === 'empty')) return { status: 200, headers, body };
  const fault = faults.find((candidate) => candidate.kind === 'status');
  return fault?.kind === 'status' ? errorReply(fault.status, fault.code ?? 'SCRIPTED', fault.headers ?? {}) : undefined;
}

/** What a fault needs to know of the connection. */
export interface Wire {
  /** Resolves when the client has gone. */
  readonly closed: Promise<unknown>;
  /** Resolves when everything written so far is on its way. */
  flushed(): Promise<unknown>;
  /** Resets the connection. */
  reset(): void;
}

/** What a fault makes of a body; undefined when it is about something else. */
function spoilBody(body: ApiReply['body'], fault: Fault, wire: Wire): ApiReply['body'] | undefined {
  switch (fault.kind) {
    case 'truncate':
      return cut(body, fault.after, () => wire.flushed().then(gone));
    case 'stall':
      return cut(body, fault.after, () => wire.closed.then(gone));
    case 'reset':
      return cut(body, fault.after, () =>
        wire.flushed().then(() => {
          wire.reset();
          return gone();
        }),
      );
    case 'slow':
      return dripped(body, fault.bytes, fault.everyMs);
    case 'corrupt':
      return flipped(body, fault.at);
    case 'flip':
      return changed(body, (bytes) => changes.flip(bytes, fault));
    case 'duplicate':
      return changed(body, (bytes) => changes.duplicate(bytes, fault));
    case 'swap':
      return changed(body, (bytes) => changes.swap(bytes, fault));
    default:
      return undefined;
  }
}

/** The answer as the client gets to see it. */
export function spoilReply(reply: ApiReply, faults: readonly Fault[], wire: Wire): ApiReply {
  let spoilt = reply;
  for (const fault of faults) {
    spoilt = { ...spoilt, body: spoilBody(spoilt.body, fault, wire) ?? spoilt.body };
    if (fault.kind === 'headers') {
      const headers = Object.entries({ ...spoilt.headers, ...fault.headers }).filter(([, value]) => value !== '');
      spoilt = { ...spoilt, headers: Object.fromEntries(headers) };
    }
  }
  return spoilt;
}
