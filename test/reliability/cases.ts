import type { AuthOptions } from '../support/registry/auth.ts';
import type { Fault } from '../support/registry/faults.ts';
import type { TestRegistry } from '../support/registry/test-registry.ts';

/** What a reader of a mounted file sees. */
export type Seen =
  /** The right bytes, as if nothing had been. */
  | 'right'
  /** EIO for as long as it lasts, and the right bytes from the next read on. */
  | 'EIO, then right';

/** A fault, and what a reader sees of it. docs/reliability.md shows this table to people. */
export interface Case {
  readonly name: string;
  readonly seen: Seen;
  readonly fault: (registry: TestRegistry, other: string) => Fault;
  /** How often it strikes. Default: once. */
  readonly times?: number;
  /** What it strikes. Default: requests of blobs. */
  readonly on?: 'blob' | 'signed' | 'token';
  readonly registry?: { readonly auth?: AuthOptions; readonly redirectBlobs?: boolean };
}

const always = Number.POSITIVE_INFINITY;
const token: AuthOptions = { kind: 'token' };

export const cases: readonly Case[] = [
  { name: 'connection closed before an answer', seen: 'right', fault: () => ({ kind: 'drop' }) },
  { name: 'connection reset in the middle of a body', seen: 'right', fault: () => ({ kind: 'reset', after: 5000 }) },
  { name: 'body ends early', seen: 'right', fault: () => ({ kind: 'truncate', after: 5000 }) },
  { name: 'body stalls', seen: 'right', fault: () => ({ kind: 'stall', after: 5000 }) },
  {
    name: 'slow-loris: a few bytes at a time',
    seen: 'right',
    fault: () => ({ kind: 'slow', bytes: 4000, everyMs: 5 }),
  },
  { name: 'late answer', seen: 'right', fault: () => ({ kind: 'delay', ms: 300 }) },
  { name: 'one bit flipped', seen: 'right', fault: () => ({ kind: 'flip', at: 40_007 }) },
  {
    name: 'one bit flipped, always',
    seen: 'EIO, then right',
    times: always,
    fault: () => ({ kind: 'flip', at: 40_007 }),
  },
  { name: 'bytes duplicated', seen: 'right', fault: () => ({ kind: 'duplicate', at: 1000, length: 512 }) },
  { name: 'bytes reordered', seen: 'right', fault: () => ({ kind: 'swap', at: 1000, length: 512 }) },
  { name: '200 and the whole blob to a range', seen: 'right', times: always, fault: () => ({ kind: 'ignore-range' }) },
  { name: '206 with another range', seen: 'right', fault: () => ({ kind: 'shift-range', by: 4096 }) },
  {
    name: '206 with a Content-Range that lies',
    seen: 'right',
    fault: () => ({ kind: 'headers', headers: { 'content-range': 'bytes 0-99/100' } }),
  },
  { name: '200 and nothing', seen: 'right', fault: () => ({ kind: 'empty' }) },
  {
    name: 'encoded body',
    seen: 'EIO, then right',
    times: always,
    fault: () => ({ kind: 'headers', headers: { 'content-encoding': 'gzip' } }),
  },
  { name: 'something that is not HTTP', seen: 'EIO, then right', times: always, fault: () => ({ kind: 'garbage' }) },
  { name: '416', seen: 'right', fault: () => ({ kind: 'status', status: 416 }) },
  { name: '429 with Retry-After in seconds', seen: 'right', fault: () => retryAfter(429, '1') },
  {
    name: '503 with Retry-After as a date',
    seen: 'right',
    fault: () => retryAfter(503, new Date(Date.now() + 1000).toUTCString()),
  },
  { name: '500', seen: 'right', times: 3, fault: () => ({ kind: 'status', status: 500 }) },
  { name: '500, always', seen: 'EIO, then right', times: always, fault: () => ({ kind: 'status', status: 500 }) },
  { name: '403 once', seen: 'right', fault: () => ({ kind: 'status', status: 403 }) },
  { name: '404 once', seen: 'right', fault: () => ({ kind: 'status', status: 404 }) },
  { name: '404, always', seen: 'EIO, then right', times: always, fault: () => ({ kind: 'status', status: 404 }) },
  {
    name: 'redirect to other bytes',
    seen: 'right',
    fault: ({ url }, other) => ({ kind: 'redirect', to: `${url}/v2/image/blobs/${other}` }),
  },
  {
    name: 'redirect to itself',
    seen: 'EIO, then right',
    times: always,
    fault: ({ url }) => ({ kind: 'redirect', to: `${url}/v2/image/blobs/again` }),
  },
  {
    name: 'redirect to a dead port',
    seen: 'right',
    fault: () => ({ kind: 'redirect', to: 'http://127.0.0.1:1/blob' }),
  },
  ...[401, 403, 404, 410].map(
    (status): Case => ({
      name: `signed URL that answers ${status}`,
      seen: 'right',
      on: 'signed',
      registry: { redirectBlobs: true },
      fault: () => ({ kind: 'status', status }),
    }),
  ),
  {
    name: 'signed URL that serves wrong bytes',
    seen: 'right',
    on: 'signed',
    registry: { redirectBlobs: true },
    fault: () => ({ kind: 'flip', at: 40_007 }),
  },
  {
    name: 'signed URL whose body ends early',
    seen: 'right',
    on: 'signed',
    registry: { redirectBlobs: true },
    fault: () => ({ kind: 'truncate', after: 5000 }),
  },
  {
    name: 'token that is refused in the middle',
    seen: 'right',
    registry: { auth: { ...token, uses: 4 } },
    fault: () => ({ kind: 'truncate', after: 5000 }),
  },
  {
    name: 'token service that answers 503',
    seen: 'right',
    on: 'token',
    registry: { auth: { ...token, uses: 3 } },
    fault: () => ({ kind: 'status', status: 503 }),
  },
  {
    name: 'token service that is slow',
    seen: 'right',
    on: 'token',
    registry: { auth: { ...token, uses: 3 } },
    fault: () => ({ kind: 'delay', ms: 500 }),
  },
];

function retryAfter(status: number, text: string): Fault {
  return { kind: 'status', status, headers: { 'retry-after': text } };
}
