import { FormatError } from '../errors.ts';
import { describeBytes, writeManifest } from '../oci/canonical-json.ts';
import { type Digest, parseDigest } from '../oci/digest.ts';
import type { ByteRange, RawManifest } from '../oci/image.ts';
import { maximumJsonBytes } from '../oci/json.ts';
import { parseIndex, parseManifest } from '../oci/manifest.ts';
import { isIndex, mediaType } from '../oci/media-types.ts';
import { describeReferrer } from '../oci/referrer.ts';
import type { RegistryStore, Upload } from './registry-store.ts';

/** A request, however it came in. */
export interface ApiRequest {
  readonly method: string;
  /** Path and query. */
  readonly target: string;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: AsyncIterable<Uint8Array>;
}

/** An answer that has not been written yet. The body of an answer to HEAD is not written. */
export interface ApiReply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array | AsyncIterable<Uint8Array>;
}

/** Ends the handling of a request with an error of the specification. */
class Refusal extends Error {
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string) {
    super(code);
    this.status = status;
    this.code = code;
  }
}

const nothing = new Uint8Array();

function reply(status: number, headers: Record<string, string> = {}, body: ApiReply['body'] = nothing): ApiReply {
  const length = body instanceof Uint8Array ? { 'content-length': String(body.byteLength) } : {};
  return { status, headers: { ...length, ...headers }, body };
}

/** An error in the form of the specification. Source: OCI distribution-spec 1.1, "Error Codes". */
export function errorReply(status: number, code: string, headers: Record<string, string> = {}): ApiReply {
  const body = Buffer.from(JSON.stringify({ errors: [{ code, message: code.toLowerCase().replaceAll('_', ' ') }] }));
  return reply(status, { 'content-type': 'application/json', ...headers }, body);
}

/** `bytes=A-B`, `bytes=A-`, `bytes=-N`; several ranges at once are answered with everything. Source: RFC 9110, 14.1.2. */
function parseRange(header: string | undefined, size: number): ByteRange | undefined {
  const [, first = '', last = ''] = /^bytes=(\d*)-(\d*)$/.exec(header ?? '') ?? [];
  if (first === '' && last === '') return undefined;
  const start = first === '' ? Math.max(0, size - Number(last)) : Number(first);
  const end = first === '' || last === '' ? size : Math.min(size, Number(last) + 1);
  if (start >= end) throw new Refusal(416, 'RANGE_INVALID');
  return { start, end };
}

async function collect(content: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of content) {
    length += chunk.byteLength;
    if (length > maximumJsonBytes) throw new Refusal(413, 'SIZE_INVALID');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function digestOf(text: string | null): Digest {
  try {
    return parseDigest(text ?? '');
  } catch {
    throw new Refusal(400, 'DIGEST_INVALID');
  }
}

/**
 * The distribution API over a {@link RegistryStore}: pull, push, mount, referrers. No authentication, no deletion.
 * Source: OCI distribution-spec 1.1.
 */
export class RegistryRoutes {
  readonly #store: RegistryStore;

  constructor(store: RegistryStore) {
    this.#store = store;
  }

  /** Never fails for what a client does; an error of the disk, or of a body that breaks off, is thrown. */
  async handle(request: ApiRequest): Promise<ApiReply> {
    try {
      return await this.#route(request, new URL(request.target, 'http://registry'));
    } catch (error) {
      if (error instanceof Refusal) return errorReply(error.status, error.code);
      if (error instanceof FormatError) return errorReply(400, 'MANIFEST_INVALID');
      throw error;
    }
  }

  async #route(request: ApiRequest, url: URL): Promise<ApiReply> {
    if (url.pathname === '/v2/' || url.pathname === '/v2') return reply(200);
    const [, name = '', kind, reference = ''] =
      /^\/v2\/(.+?)\/(manifests|blobs\/uploads|blobs|referrers|tags)\/([^/]*)$/.exec(url.pathname) ?? [];
    switch (kind) {
      case 'manifests':
        if (request.method === 'PUT') return this.#putManifest(request, name, reference);
        if (request.method === 'DELETE') return this.#deleteManifest(name, digestOf(reference));
        return this.#getManifest(name, reference);
      case 'blobs':
        return this.#getBlob(request, name, digestOf(reference));
      case 'blobs/uploads':
        return reference === ''
          ? this.#startUpload(name, url)
          : this.#upload(request, url, this.#find(name, reference));
      case 'referrers':
        return this.#referrers(name, reference, url.searchParams.get('artifactType'));
      case 'tags':
        return this.#tags(name);
      default:
        throw new Refusal(404, 'UNSUPPORTED');
    }
  }

  #getManifest(name: string, reference: string): ApiReply {
    const manifest = this.#store.manifest(name, reference);
    if (manifest === undefined) throw new Refusal(404, 'MANIFEST_UNKNOWN');
    const { mediaType: type, digest } = manifest.descriptor;
    return reply(200, { 'content-type': type, 'docker-content-digest': digest }, manifest.bytes);
  }

  async #putManifest(request: ApiRequest, name: string, reference: string): Promise<ApiReply> {
    const bytes = await collect(request.body);
    const manifest = { descriptor: describeBytes(request.headers['content-type'] ?? '', bytes), bytes };
    const { digest } = manifest.descriptor;
    const byDigest = reference.startsWith('sha256:');
    if (byDigest && reference !== digest) throw new Refusal(400, 'DIGEST_INVALID');
    this.#requireContent(name, manifest);
    this.#store.putManifest(name, manifest, byDigest ? undefined : reference);
    const subject = describeReferrer(manifest)?.subject;
    return reply(201, {
      location: `/v2/${name}/manifests/${digest}`,
      'docker-content-digest': digest,
      ...(subject ? { 'oci-subject': subject } : {}),
    });
  }

  #deleteManifest(name: string, digest: Digest): ApiReply {
    if (!this.#store.deleteManifest(name, digest)) throw new Refusal(404, 'MANIFEST_UNKNOWN');
    return reply(202);
  }

  /** An image is complete when it can be seen: what it names has to be here already. */
  #requireContent(name: string, manifest: RawManifest): void {
    if (isIndex(manifest.descriptor.mediaType)) {
      const missing = parseIndex(manifest).manifests.some(({ digest }) => !this.#store.manifest(name, digest));
      if (missing) throw new Refusal(404, 'MANIFEST_UNKNOWN');
      return;
    }
    const { config, layers } = parseManifest(manifest);
    const missing = [config, ...layers].some(({ digest }) => this.#store.blobSize(name, digest) === undefined);
    if (missing) throw new Refusal(404, 'MANIFEST_BLOB_UNKNOWN');
  }

  #getBlob(request: ApiRequest, name: string, digest: Digest): ApiReply {
    const size = this.#store.blobSize(name, digest);
    if (size === undefined) throw new Refusal(404, 'BLOB_UNKNOWN');
    const range = request.method === 'HEAD' ? undefined : parseRange(request.headers.range, size);
    const { start, end } = range ?? { start: 0, end: size };
    const headers = {
      'content-type': 'application/octet-stream',
      'content-length': String(end - start),
      'accept-ranges': 'bytes',
      'docker-content-digest': digest,
      ...(range ? { 'content-range': `bytes ${start}-${end - 1}/${size}` } : {}),
    };
    const empty = request.method === 'HEAD' || start === end;
    return reply(range ? 206 : 200, headers, empty ? nothing : this.#store.readBlob(digest, { start, end }));
  }

  async #startUpload(name: string, url: URL): Promise<ApiReply> {
    const mount = url.searchParams.get('mount');
    const from = url.searchParams.get('from');
    if (mount !== null && from !== null && (await this.#store.mountBlob(name, digestOf(mount), from))) {
      return reply(201, { location: `/v2/${name}/blobs/${mount}`, 'docker-content-digest': mount });
    }
    return this.#progress(202, await this.#store.startUpload(name));
  }

  async #upload(request: ApiRequest, url: URL, upload: Upload): Promise<ApiReply> {
    switch (request.method) {
      case 'GET':
        return this.#progress(204, upload);
      case 'DELETE':
        await this.#store.cancelUpload(upload);
        return reply(204);
      case 'PATCH': {
        const start = /^(\d+)-\d+$/.exec(request.headers['content-range'] ?? '')?.[1];
        if (start !== undefined && Number(start) !== upload.size) throw new Refusal(416, 'BLOB_UPLOAD_INVALID');
        await this.#store.appendUpload(upload, request.body);
        return this.#progress(202, upload);
      }
      case 'PUT': {
        const digest = digestOf(url.searchParams.get('digest'));
        await this.#store.appendUpload(upload, request.body);
        if (!(await this.#store.finishUpload(upload, digest))) throw new Refusal(400, 'DIGEST_INVALID');
        const { repository } = upload;
        return reply(201, { location: `/v2/${repository}/blobs/${digest}`, 'docker-content-digest': digest });
      }
      default:
        throw new Refusal(405, 'UNSUPPORTED');
    }
  }

  #find(name: string, id: string): Upload {
    const upload = this.#store.findUpload(name, id);
    if (upload === undefined) throw new Refusal(404, 'BLOB_UPLOAD_UNKNOWN');
    return upload;
  }

  #progress(status: number, upload: Upload): ApiReply {
    return reply(status, {
      location: `/v2/${upload.repository}/blobs/uploads/${upload.id}`,
      range: `0-${Math.max(0, upload.size - 1)}`,
    });
  }

  #referrers(name: string, subject: string, artifactType: string | null): ApiReply {
    const all = this.#store.referrers(name, subject);
    const manifests = artifactType === null ? all : all.filter((entry) => entry.artifactType === artifactType);
    const filtered = artifactType === null ? {} : { 'oci-filters-applied': 'artifactType' };
    const { bytes } = writeManifest(mediaType.ociIndex, { manifests });
    return reply(200, { 'content-type': mediaType.ociIndex, ...filtered }, bytes);
  }

  #tags(name: string): ApiReply {
    const tags = this.#store.tags(name);
    if (tags === undefined) throw new Refusal(404, 'NAME_UNKNOWN');
    return reply(200, { 'content-type': 'application/json' }, Buffer.from(JSON.stringify({ name, tags })));
  }
}
