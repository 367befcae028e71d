import { setTimeout as sleep } from 'node:timers/promises';
import { LRUCache } from 'lru-cache';
import { IntegrityError, RegistryError } from '../errors.ts';
import type { Digest } from '../oci/digest.ts';
import type { ByteRange, Descriptor } from '../oci/image.ts';
import type { HttpResponse } from './http-transport.ts';
import { type RegistryClient, statusOf } from './registry-client.ts';
import type { RetryPolicy } from './registry-options.ts';
import { retryDelayMs } from './retry.ts';
import { redactUrl } from './url.ts';

/** One an image layer; a few hundred bytes each. */
const maximumLocations = 4096;

/** What a signed URL answers when its time is over; S3 and its kin do not agree on one. */
const expired: ReadonlySet<number | undefined> = new Set([400, 401, 403, 404, 410]);

/** `bytes 100-199/1000`; the total may be `*`. Source: RFC 9110, 14.4. */
function parseContentRange(
  header: string | undefined,
): { start: number; end: number; total: number | undefined } | undefined {
  const [, first, last, total] = /^bytes (\d{1,16})-(\d{1,16})\/(\d{1,16}|\*)$/.exec(header ?? '') ?? [];
  if (first === undefined || last === undefined) return undefined;
  return { start: Number(first), end: Number(last) + 1, total: total === '*' ? undefined : Number(total) };
}

/** Reads blobs of one repository, whole or in part, going on where a connection broke. */
export class BlobReader {
  readonly #client: RegistryClient;
  readonly #repository: string;
  /** Where the registry sent us for a blob: asked there directly until that no longer works. */
  readonly #locations = new LRUCache<string, URL>({ max: maximumLocations });

  constructor(client: RegistryClient, repository: string) {
    this.#client = client;
    this.#repository = repository;
  }

  /**
   * As `BlobSource.readBlob`: unverified, exactly the range. Every byte that arrives renews the patience.
   * @param policy - how hard to try, if not as ever
   */
  async *read(
    descriptor: Descriptor,
    range?: ByteRange,
    signal?: AbortSignal,
    policy: RetryPolicy = this.#client.retryPolicy,
  ): AsyncGenerator<Uint8Array> {
    const { start, end } = range ?? { start: 0, end: descriptor.size };
    if (!(start >= 0 && start <= end && end <= descriptor.size)) {
      throw new RangeError(`Range ${start}–${end} is outside of ${descriptor.digest}, ${descriptor.size} bytes`);
    }
    let position = start;
    let failed = 0;
    let since = performance.now();
    while (position < end) {
      try {
        for await (const chunk of this.#readOnce(descriptor, { start: position, end }, signal)) {
          position += chunk.byteLength;
          failed = 0;
          yield chunk;
          since = performance.now();
        }
      } catch (error) {
        const delay = retryDelayMs(error, policy, failed, performance.now() - since);
        if (delay === undefined) throw error;
        failed++;
        await sleep(delay, undefined, signal ? { signal } : {});
      }
    }
  }

  /** Asks the registry anew where a blob lies. */
  forget(digest: Digest): void {
    this.#locations.delete(digest);
  }

  async *#readOnce(descriptor: Descriptor, range: ByteRange, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
    const response = await this.#open(descriptor, range, signal);
    let position = this.#start(response, descriptor, range);
    for await (const chunk of response.chunks()) {
      const from = Math.max(range.start - position, 0);
      const to = Math.min(range.end - position, chunk.byteLength);
      position += chunk.byteLength;
      if (from < to) yield chunk.subarray(from, to);
      // Stopping short closes the connection: only for the rest of a whole blob that nobody asked for.
      if (position > range.end || (position === range.end && position < descriptor.size && response.status === 200))
        return;
    }
    if (position < range.end) {
      const url = redactUrl(response.url);
      throw new RegistryError('SLUICE_REGISTRY_UNREACHABLE', `Cannot read "${url}": ended at byte ${position}`, {
        facts: { url, offset: position },
      });
    }
  }

  /** As {@link #checkedStart}. Whoever sent something else is not asked again. */
  #start(response: HttpResponse, descriptor: Descriptor, range: ByteRange): number {
    try {
      return this.#checkedStart(response, descriptor, range);
    } catch (error) {
      this.forget(descriptor.digest);
      throw error;
    }
  }

  async #open(descriptor: Descriptor, range: ByteRange, signal?: AbortSignal): Promise<HttpResponse> {
    const { digest, size } = descriptor;
    const whole = range.start === 0 && range.end === size;
    const call = {
      method: 'GET',
      headers: whole ? {} : { range: `bytes=${range.start}-${range.end - 1}` },
      scopes: [`repository:${this.#repository}:pull`],
      expect: [200, 206],
      action: `read blob ${digest}`,
      retry: false,
      signal,
    } as const;
    const known = this.#locations.get(digest);
    if (known !== undefined) {
      try {
        return await this.#client.call({ ...call, target: known });
      } catch (error) {
        if (this.#locations.get(digest) === known) this.#locations.delete(digest);
        if (!expired.has(statusOf(error))) throw error;
      }
    }
    const target = this.#client.urlOf(`${this.#repository}/blobs/${digest}`);
    const response = await this.#client.call({ ...call, target });
    if (response.url.href !== target.href) this.#locations.set(digest, response.url);
    return response;
  }

  /**
   * Where in the blob the body starts: 0 for a 200, which a pull-through mirror answers to a range of a blob it does
   * not have yet.
   */
  #checkedStart(response: HttpResponse, descriptor: Descriptor, range: ByteRange): number {
    const encoding = response.header('content-encoding') ?? 'identity';
    const content = parseContentRange(response.header('content-range'));
    const length = response.header('content-length');
    const total = response.status === 206 ? content?.total : length === undefined ? undefined : Number(length);
    const url = this.#client.secrets.hide(redactUrl(response.url));
    if (encoding !== 'identity') {
      void response.discard();
      throw new RegistryError(
        'SLUICE_REGISTRY_PROTOCOL',
        `Cannot read "${url}": encoded as "${this.#client.secrets.hide(encoding).slice(0, 40)}"`,
      );
    }
    const wrong = response.status === 206 && (content?.start !== range.start || content.end > range.end);
    const sizeDiffers = total !== undefined && total !== descriptor.size;
    if (wrong || sizeDiffers) void response.discard();
    if (wrong) {
      throw new RegistryError(
        'SLUICE_REGISTRY_RANGE',
        `Cannot read "${url}": asked for bytes ${range.start}–${range.end}, got "${this.#client.secrets.hide(response.header('content-range') ?? 'no range').slice(0, 100)}"`,
        { facts: { url, start: range.start, end: range.end } },
      );
    }
    if (sizeDiffers) {
      throw new IntegrityError(
        'SLUICE_SIZE_MISMATCH',
        `Cannot read blob ${descriptor.digest}: ${total} bytes at "${url}", not ${descriptor.size}`,
        { facts: { digest: descriptor.digest, expected: descriptor.size, actual: total } },
      );
    }
    return response.status === 206 ? range.start : 0;
  }
}
