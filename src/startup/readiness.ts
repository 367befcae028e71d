import { get } from 'node:http';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { LaneContainer } from './lane.ts';
import type { Readiness } from './workload.ts';

/** How long after a refused connection the next is tried, ms. */
const retryMs = 5;
/** A connection that is neither accepted nor refused is given up after this long, ms. */
const attemptMs = 2000;
/** So many lines of a container that died are shown. */
const shownLines = 12;

/**
 * Waits until a container is ready. What it writes is read to its end, also afterwards: a full pipe would stop it.
 *
 * @param signal - ends the wait; the reason it was aborted with is thrown
 * @throws {Error} when the container ends before, with the last lines it wrote
 */
export async function whenReady(
  { lines, ended }: Pick<LaneContainer, 'lines' | 'ended'>,
  ready: Readiness,
  signal: AbortSignal,
): Promise<void> {
  const stop = new AbortController();
  const over = AbortSignal.any([signal, stop.signal]);
  const last: string[] = [];
  const matched = follow(lines, ready.kind === 'line' ? new RegExp(ready.pattern, 'u') : undefined, last);
  const died = async (): Promise<void> => {
    const status = await ended;
    if (ready.kind === 'exit' && status === ready.status) return;
    // A line may have been written and not yet read when the container has ended.
    if (ready.kind === 'line' && (await matched)) return;
    const wanted = ready.kind === 'exit' ? `, not ${ready.status}` : ' before it was ready';
    throw new Error(`the container ended with status ${status}${wanted}; it wrote: ${last.join(' | ') || 'nothing'}`);
  };
  try {
    await Promise.race([died(), answered(ready, matched, over), aborted(over)]);
  } finally {
    stop.abort();
  }
}

/** @returns whether a line matched; as soon as one does, else at the end */
function follow(lines: AsyncIterable<string>, pattern: RegExp | undefined, last: string[]): Promise<boolean> {
  return new Promise((resolve) => {
    const read = async (): Promise<void> => {
      for await (const line of lines) {
        last.push(line.slice(0, 500));
        if (last.length > shownLines) last.shift();
        if (pattern?.test(line)) resolve(true);
      }
    };
    read().then(
      () => resolve(false),
      () => resolve(false),
    );
  });
}

/** Ends when the container answers, and never when it does not. */
async function answered(ready: Readiness, matched: Promise<boolean>, signal: AbortSignal): Promise<void> {
  if (ready.kind === 'line' && (await matched)) return;
  while ((ready.kind === 'tcp' || ready.kind === 'http') && !signal.aborted) {
    if (ready.kind === 'tcp' ? await accepts(ready.port) : await answers(ready.port, ready.path)) return;
    await delay(retryMs);
  }
  await new Promise(() => undefined);
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1', timeout: attemptMs });
    const end = (connected: boolean): void => {
      socket.destroy();
      resolve(connected);
    };
    socket
      .on('connect', () => end(true))
      .on('error', () => end(false))
      .on('timeout', () => end(false));
  });
}

function answers(port: number, path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const request = get({ port, host: '127.0.0.1', path, agent: false, timeout: attemptMs }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    request.on('error', () => resolve(false)).on('timeout', () => request.destroy());
  });
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    const fail = (): void => reject(signal.reason);
    if (signal.aborted) fail();
    else signal.addEventListener('abort', fail, { once: true });
  });
}
