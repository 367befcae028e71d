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
  readonly fault: Fault;
}

interface ActiveRule {
  readonly rule: FaultRule;
  skip: number;
  times: number;
}

/** The script: rules in the order they were added; a request is struck by every rule that matches. */
export class Faults {
  #rules: ActiveRule[] = [];

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
      const { on, method, path, fault } = active.rule;
      if (on !== undefined && on !== kindOf(request.target)) continue;
      if (method !== undefined && method !== request.method) continue;
      if (path !== undefined && !path.test(request.target)) continue;
      if (active.skip > 0) active.skip--;
      else if (active.times > 0) {
        active.times--;
        struck.push(fault);
      }
    }
    return struck;
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

/** The request as the registry gets to see it. */
export function spoilRequest(request: ApiRequest, faults: readonly Fault[]): ApiRequest {
  let spoilt = request;
  for (const fault of faults) {
    if (fault.kind === 'ignore-range') spoilt = { ...spoilt, headers: { ...spoilt.headers, range: undefined } };
    if (fault.kind === 'drop-upload') spoilt = { ...spoilt, body: cut(spoilt.body, fault.after, gone) };
  }
  return spoilt;
}

/** The answer that takes the place of the registry's, if any. */
export function replacement(faults: readonly Fault[]): ApiReply | undefined {
  const fault = faults.find((candidate) => candidate.kind === 'status');
  return fault?.kind === 'status' ? errorReply(fault.status, fault.code ?? 'SCRIPTED', fault.headers ?? {}) : undefined;
}

/** What a fault needs to know of the connection. */
export interface Wire {
  /** Resolves when the client has gone. */
  readonly closed: Promise<unknown>;
  /** Resolves when everything written so far is on its way. */
  flushed(): Promise<unknown>;
}

/** The answer as the client gets to see it. */
export function spoilReply(reply: ApiReply, faults: readonly Fault[], wire: Wire): ApiReply {
  let spoilt = reply;
  for (const fault of faults) {
    const { body } = spoilt;
    if (fault.kind === 'truncate')
      spoilt = { ...spoilt, body: cut(body, fault.after, () => wire.flushed().then(gone)) };
    if (fault.kind === 'stall') spoilt = { ...spoilt, body: cut(body, fault.after, () => wire.closed.then(gone)) };
    if (fault.kind === 'corrupt') spoilt = { ...spoilt, body: flipped(body, fault.at) };
    if (fault.kind === 'headers') {
      const headers = Object.entries({ ...spoilt.headers, ...fault.headers }).filter(([, value]) => value !== '');
      spoilt = { ...spoilt, headers: Object.fromEntries(headers) };
    }
  }
  return spoilt;
}
