import { setTimeout as sleep } from 'node:timers/promises';
import { verifyStream } from '../digest/verified-stream.ts';
import { RegistryError } from '../errors.ts';
import type { Descriptor } from '../oci/image.ts';
import type { HttpResponse } from './http-transport.ts';
import { type RegistryCall, type RegistryClient, statusOf } from './registry-client.ts';
import { retryDelayMs, retrying } from './retry.ts';
import { keepsPrivacy, parseUrl, redactUrl } from './url.ts';

/**
 * What is sent in one request, and kept until the registry has it: a broken connection costs at most this much again.
 * Blobs up to this size go in a single PUT.
 */
const pieceBytes = 16 * 1024 * 1024;
/** Long enough to tell the registry that an upload is off, short enough not to hold up the error that is on its way. */
const cancelMs = 2_000;

/** Collects a stream into pieces of one size, the last one shorter. The buffer is the same every time. */
async function* pieces(content: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const buffer = Buffer.allocUnsafe(pieceBytes);
  let filled = 0;
  for await (const chunk of content) {
    for (let from = 0; from < chunk.byteLength; ) {
      const part = chunk.subarray(from, from + pieceBytes - filled);
      buffer.set(part, filled);
      filled += part.byteLength;
      from += part.byteLength;
      if (filled < pieceBytes) continue;
      yield buffer;
      filled = 0;
    }
  }
  if (filled > 0) yield buffer.subarray(0, filled);
}

async function collect(content: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of content) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** `0-41` says that 42 bytes are there, and `0-0` that none is: registries write so for an empty upload. */
function committedBytes(header: string | undefined): number | undefined {
  const [, last] = /^(?:bytes=)?0-(\d{1,16})$/.exec(header ?? '') ?? [];
  if (last === undefined) return undefined;
  return last === '0' ? 0 : Number(last) + 1;
}

/** An upload under way: a URL that changes with every answer. */
interface Session {
  location: URL;
  /** Bytes the registry has. */
  offset: number;
}

/** Writes blobs to one repository. Source: OCI distribution-spec 1.1, "Pushing blobs". */
export class BlobWriter {
  readonly #client: RegistryClient;
  readonly #repository: string;
  readonly #scope: string;

  constructor(client: RegistryClient, repository: string) {
    this.#client = client;
    this.#repository = repository;
    this.#scope = `repository:${repository}:pull,push`;
  }

  async has(descriptor: Descriptor, signal?: AbortSignal): Promise<boolean> {
    // A redirect says that the blob is there; the URL it names is often signed for GET only.
    const response = await this.#call({
      method: 'HEAD',
      target: this.#client.urlOf(`${this.#repository}/blobs/${descriptor.digest}`),
      expect: [200, 301, 302, 303, 307, 308, 404],
      action: `look for blob ${descriptor.digest}`,
      retry: true,
      signal,
    });
    await response.discard();
    return response.status !== 404;
  }

  /** As `ImageTarget.putBlob`. */
  async put(descriptor: Descriptor, content: () => AsyncIterable<Uint8Array>, signal?: AbortSignal): Promise<boolean> {
    // How long an upload takes says nothing about whether to try again: the number of tries alone does.
    const policy = { ...this.#client.retryPolicy, deadlineMs: Number.POSITIVE_INFINITY };
    return retrying(policy, signal, async () => {
      // Asked in every try: the answer that got lost may have been the good one.
      if (await this.has(descriptor, signal)) return false;
      const verified = verifyStream(content(), descriptor, descriptor.digest);
      if (descriptor.size <= pieceBytes) await this.#putWhole(descriptor, await collect(verified), signal);
      else await this.#putInPieces(descriptor, verified, signal);
      return true;
    });
  }

  /** As `ImageTarget.mountBlob`. */
  async mount(descriptor: Descriptor, fromRepository: string, signal?: AbortSignal): Promise<boolean> {
    const { digest } = descriptor;
    const query = `mount=${encodeURIComponent(digest)}&from=${encodeURIComponent(fromRepository)}`;
    try {
      const response = await this.#call({
        method: 'POST',
        target: this.#client.urlOf(`${this.#repository}/blobs/uploads/?${query}`),
        scopes: [this.#scope, `repository:${fromRepository}:pull`],
        expect: [201, 202],
        action: `mount blob ${digest}`,
        retry: true,
        signal,
      });
      await response.discard();
      if (response.status === 202) await this.#cancel(this.#nextLocation(response));
      return response.status === 201;
    } catch (error) {
      if ([400, 401, 403, 404, 405].includes(statusOf(error) ?? 0)) return false;
      throw error;
    }
  }

  async #putWhole(descriptor: Descriptor, bytes: Uint8Array, signal?: AbortSignal): Promise<void> {
    const session = await this.#start(descriptor, signal);
    await this.#guarded(session, () => this.#finish(session, descriptor, bytes, signal));
  }

  async #putInPieces(descriptor: Descriptor, content: AsyncIterable<Uint8Array>, signal?: AbortSignal): Promise<void> {
    const session = await this.#start(descriptor, signal);
    await this.#guarded(session, async () => {
      for await (const piece of pieces(content)) await this.#sendPiece(session, piece, descriptor, signal);
      await this.#finish(session, descriptor, new Uint8Array(), signal);
    });
  }

  /** Runs a part of an upload; the registry can forget the upload when it fails. */
  async #guarded(session: Session, part: () => Promise<void>): Promise<void> {
    try {
      await part();
    } catch (error) {
      await this.#cancel(session.location);
      throw error;
    }
  }

  async #start(descriptor: Descriptor, signal?: AbortSignal): Promise<Session> {
    const response = await this.#call({
      method: 'POST',
      target: this.#client.urlOf(`${this.#repository}/blobs/uploads/`),
      expect: [202],
      action: `upload blob ${descriptor.digest}`,
      signal,
    });
    await response.discard();
    return { location: this.#nextLocation(response), offset: 0 };
  }

  async #sendPiece(session: Session, piece: Uint8Array, descriptor: Descriptor, signal?: AbortSignal): Promise<void> {
    const start = session.offset;
    const end = start + piece.byteLength;
    const since = performance.now();
    for (let failed = 0; session.offset < end; failed++) {
      try {
        const response = await this.#call({
          method: 'PATCH',
          target: session.location,
          headers: {
            'content-type': 'application/octet-stream',
            'content-range': `${session.offset}-${end - 1}`,
          },
          body: piece.subarray(session.offset - start),
          expect: [202],
          action: `upload blob ${descriptor.digest}`,
          signal,
        });
        await response.discard();
        session.location = this.#nextLocation(response);
        session.offset = end;
      } catch (error) {
        const delay = retryDelayMs(error, this.#client.retryPolicy, failed, performance.now() - since);
        if (delay === undefined) throw error;
        await sleep(delay, undefined, signal ? { signal } : {});
        if (!(await this.#recover(session, start, end, signal))) throw error;
      }
    }
  }

  /** Asks how far an upload got. False when it cannot go on within the piece in hand. */
  async #recover(session: Session, start: number, end: number, signal?: AbortSignal): Promise<boolean> {
    const action = 'resume upload';
    try {
      const response = await this.#call({ method: 'GET', target: session.location, expect: [204], action, signal });
      await response.discard();
      const offset = committedBytes(response.header('range'));
      if (offset === undefined || offset < start || offset > end) return false;
      session.location = this.#nextLocation(response);
      session.offset = offset;
      return true;
    } catch {
      signal?.throwIfAborted();
      return false;
    }
  }

  async #finish(session: Session, descriptor: Descriptor, bytes: Uint8Array, signal?: AbortSignal): Promise<void> {
    const target = new URL(session.location);
    // Not by searchParams: they would write the registry's own parameters anew.
    target.search += `${target.search === '' ? '?' : '&'}digest=${encodeURIComponent(descriptor.digest)}`;
    const response = await this.#call({
      method: 'PUT',
      target,
      headers: { 'content-type': 'application/octet-stream' },
      body: bytes,
      expect: [201],
      action: `finish upload of blob ${descriptor.digest}`,
      signal,
    });
    await response.discard();
  }

  async #cancel(location: URL): Promise<void> {
    const signal = AbortSignal.timeout(cancelMs);
    const action = 'cancel upload';
    await this.#call({ method: 'DELETE', target: location, expect: [204], action, signal }).then(
      (response) => response.discard(),
      () => {},
    );
  }

  #nextLocation(response: HttpResponse): URL {
    const location = parseUrl(response.header('location') ?? '', response.url);
    if (location === undefined || response.header('location') === undefined || !keepsPrivacy(location, response.url)) {
      const url = redactUrl(response.url);
      throw new RegistryError(
        'SLUICE_REGISTRY_PROTOCOL',
        `Cannot upload to "${url}": the answer names no usable location`,
      );
    }
    return location;
  }

  #call(call: Omit<RegistryCall, 'scopes'> & Partial<Pick<RegistryCall, 'scopes'>>): Promise<HttpResponse> {
    return this.#client.call({ scopes: [this.#scope], retry: false, ...call });
  }
}
