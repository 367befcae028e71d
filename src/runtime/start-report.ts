import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { rename, writeFile } from 'node:fs/promises';
import type { ChunkFetched } from '../fetch/channels.ts';
import type { HotGroupRead } from '../hot/channels.ts';
import type { OpenImage } from '../image/open-image.ts';
import { digestHex } from '../oci/digest.ts';

/** A step of a start. */
export type StartEvent = 'manifest' | 'bootstrap' | 'mounted' | 'rootfs' | 'runtime' | 'exit';

/** What a start took. Milliseconds count from `startedAt`. */
export interface StartReport {
  readonly version: 1;
  readonly image: string;
  /** Merkle root of the bootstrap. */
  readonly root: string;
  /** When the process began: milliseconds since the epoch. */
  readonly startedAt: number;
  /** In the order in which they happened; what did not happen, such as fetching what is cached, is left out. */
  readonly events: readonly { readonly name: StartEvent; readonly ms: number }[];
  /** HTTP requests sent, redirects and tokens included, and bytes of the answers' bodies. */
  readonly requests: number;
  readonly bytes: number;
  readonly chunks: {
    /** Chunks of each device. */
    readonly counts: readonly number[];
    /** [ms, device, chunk], in order of arrival. */
    readonly arrivals: readonly (readonly [number, number, number])[];
  };
  /** Of the image's profile, when the start had one. */
  readonly hot?: {
    /** [ms, pages that came, bytes of the hot blob up to there], in order of arrival. */
    readonly groups: readonly (readonly [number, number, number])[];
  };
}

/** The part of undici's messages that is looked at. Source: undici, docs/api/DiagnosticsChannel.md. */
interface HttpMessage {
  readonly request: { readonly path: string };
}

/** Observes a start through the diagnostics channels; nothing is measured when nobody wants to know. */
export class StartObserver {
  readonly #events: { readonly name: StartEvent; readonly ms: number }[] = [];
  /** What was answered before there was a mount, and when. */
  readonly #answers: { readonly path: string; readonly ms: number }[] = [];
  readonly #arrivals: [number, number, number][] = [];
  readonly #groups: [number, number, number][] = [];
  readonly #subscriptions: readonly (readonly [string, (message: unknown) => void])[];
  #requests = 0;
  #bytes = 0;

  constructor() {
    this.#subscriptions = [
      ['undici:request:create', () => this.#countRequest()],
      ['undici:request:bodyChunkReceived', (message) => this.#countBytes(message as { readonly chunk: Uint8Array })],
      ['undici:request:trailers', (message) => this.#answered(message as HttpMessage)],
      ['sluice:fetch:chunk', (message) => this.#chunkArrived(message as ChunkFetched)],
      ['sluice:hot:group', (message) => this.#groupArrived(message as HotGroupRead)],
    ];
    for (const [channel, listener] of this.#subscriptions) subscribe(channel, listener);
  }

  /** Says that a step is done. */
  reached(name: StartEvent): void {
    this.#events.push({ name, ms: milliseconds() });
  }

  /** Stops observing. */
  close(): void {
    for (const [channel, listener] of this.#subscriptions) unsubscribe(channel, listener);
  }

  report({ reference, root, bootstrap, bootstrapLayer }: OpenImage): StartReport {
    const fetched = [
      ...this.#lastAnswer('manifest', '/manifests/'),
      ...this.#lastAnswer('bootstrap', digestHex(bootstrapLayer.digest)),
    ];
    return {
      version: 1,
      image: reference,
      root,
      startedAt: performance.timeOrigin,
      events: [...fetched, ...this.#events].sort((a, b) => a.ms - b.ms),
      requests: this.#requests,
      bytes: this.#bytes,
      chunks: { counts: bootstrap.devices.map(({ chunks }) => chunks.count), arrivals: this.#arrivals },
      ...(this.#groups.length > 0 ? { hot: { groups: this.#groups } } : {}),
    };
  }

  #lastAnswer(name: StartEvent, part: string): { name: StartEvent; ms: number }[] {
    const found = this.#answers.findLast(({ path }) => path.includes(part));
    return found === undefined ? [] : [{ name, ms: found.ms }];
  }

  #countRequest(): void {
    this.#requests += 1;
  }

  #countBytes({ chunk }: { readonly chunk: Uint8Array }): void {
    this.#bytes += chunk.byteLength;
  }

  #answered({ request }: HttpMessage): void {
    if (this.#events.length === 0) this.#answers.push({ path: request.path, ms: milliseconds() });
  }

  #chunkArrived({ device, chunk }: ChunkFetched): void {
    this.#arrivals.push([milliseconds(), device, chunk]);
  }

  #groupArrived({ pages, received }: HotGroupRead): void {
    this.#groups.push([milliseconds(), pages, received]);
  }
}

/** Writes a report that is there as a whole or not at all. */
export async function writeReport(file: string, report: StartReport): Promise<void> {
  await writeFile(`${file}.${process.pid}`, `${JSON.stringify(report)}\n`);
  await rename(`${file}.${process.pid}`, file);
}

/** To a microsecond. */
function milliseconds(): number {
  return Math.round(performance.now() * 1000) / 1000;
}
