import { IntegrityError, NotFoundError, SluiceError } from '../errors.ts';
import { describeBytes, writeManifest } from '../oci/canonical-json.ts';
import type { Digest } from '../oci/digest.ts';
import type { Descriptor, RawManifest } from '../oci/image.ts';
import { maximumJsonBytes } from '../oci/json.ts';
import { parseIndex, sniffMediaType } from '../oci/manifest.ts';
import { isIndex, isManifest, manifestMediaTypes, mediaType } from '../oci/media-types.ts';
import { describeReferrer, type Referrer, referrersTag } from '../oci/referrer.ts';
import type { HttpResponse } from './http-transport.ts';
import type { RegistryCall, RegistryClient } from './registry-client.ts';
import type { RetryPolicy } from './registry-options.ts';
import { retrying } from './retry.ts';
import { parseUrl } from './url.ts';

/** A list of referrers is paged; a registry that always has another page is not followed without end. */
const maximumPages = 100;
/** Each entry of such a list is held in memory; pages of 4 MiB would fill it. */
const maximumReferrers = 10_000;

/** A call whose whole body is read within each try. */
async function document(
  client: RegistryClient,
  call: RegistryCall,
  policy: RetryPolicy = client.retryPolicy,
): Promise<{ response: HttpResponse; bytes: Uint8Array }> {
  return retrying(policy, call.signal, async () => {
    const response = await client.call({ ...call, retry: false });
    return { response, bytes: await response.bytes(maximumJsonBytes) };
  });
}

function mismatch(what: string, expected: string, actual: string): IntegrityError {
  return new IntegrityError('SLUICE_DIGEST_MISMATCH', `Cannot use ${what}: want ${expected}, have ${actual}`, {
    facts: { expected, actual },
  });
}

/** Source: OCI distribution-spec 1.1, "Listing Referrers". A mirror goes on being asked on behalf of the registry. */
function nextPage(response: HttpResponse, page: URL): URL | undefined {
  const [, link] = /<([^>]+)>\s*;\s*rel="?next"?/.exec(response.header('link') ?? '') ?? [];
  const next = link === undefined ? undefined : parseUrl(link, page);
  const namespace = page.searchParams.get('ns');
  if (namespace !== null) next?.searchParams.set('ns', namespace);
  return next;
}

/** Manifests and indexes of one repository. */
export class ManifestStore {
  readonly #client: RegistryClient;
  readonly #repository: string;
  readonly #scopes: readonly string[];

  /** @param actions - of the token scope: `pull`, `pull,push` */
  constructor(client: RegistryClient, repository: string, actions: 'pull' | 'pull,push') {
    this.#client = client;
    this.#repository = repository;
    this.#scopes = [`repository:${repository}:${actions}`];
  }

  /**
   * Reads and verifies a manifest.
   *
   * @param reference - a tag or a digest
   * @param type - its media type when a descriptor says it; else the registry's word, else the document's own
   * @param policy - how hard to try, if not as ever
   * @throws {NotFoundError} SLUICE_IMAGE_NOT_FOUND
   * @throws {IntegrityError} SLUICE_DIGEST_MISMATCH
   */
  async get(reference: string, type?: string, signal?: AbortSignal, policy?: RetryPolicy): Promise<RawManifest> {
    const what = `manifest "${this.#repository}:${reference}"`;
    const call: RegistryCall = {
      method: 'GET',
      target: this.#client.urlOf(`${this.#repository}/manifests/${reference}`),
      headers: { accept: type ?? manifestMediaTypes.join(', ') },
      scopes: this.#scopes,
      expect: [200],
      action: `read ${what}`,
      missing: 'SLUICE_IMAGE_NOT_FOUND',
      signal,
    };
    const { response, bytes } = await document(this.#client, call, policy);
    const served = response.header('content-type')?.split(';')[0]?.trim() ?? '';
    const known = isIndex(served) || isManifest(served);
    const descriptor = describeBytes(type ?? (known ? served : sniffMediaType(bytes, what)), bytes);
    const promised = reference.startsWith('sha256:') ? reference : response.header('docker-content-digest');
    if (promised?.startsWith('sha256:') && promised !== descriptor.digest) {
      throw mismatch(what, this.#client.secrets.hide(promised).slice(0, 100), descriptor.digest);
    }
    return { descriptor, bytes };
  }

  /**
   * Stores a manifest, and lists it at its subject where the registry does not do that itself.
   * @param reference - a tag, or the manifest's digest
   */
  async put(reference: string, manifest: RawManifest, signal?: AbortSignal): Promise<void> {
    const subjectKept = await this.#put(reference, manifest, signal);
    const referrer = describeReferrer(manifest);
    if (referrer !== undefined && !subjectKept) await this.#putFallback(referrer, signal);
  }

  /**
   * Stores a manifest as its subject's referrer, by digest.
   * @param replaced - listed no more from now on, and deleted if this registry and these credentials allow it
   */
  async putReferrer(manifest: RawManifest, replaced: readonly Digest[], signal?: AbortSignal): Promise<void> {
    const subjectKept = await this.#put(manifest.descriptor.digest, manifest, signal);
    const referrer = describeReferrer(manifest);
    if (referrer !== undefined && !subjectKept) await this.#putFallback(referrer, signal, replaced);
    for (const digest of replaced) {
      if (digest !== manifest.descriptor.digest) await this.#delete(digest, signal);
    }
  }

  /**
   * Manifests that name `digest` as their subject. A registry may have the API for it, or only the fallback tag: both
   * are asked for at once, so that either costs one round trip.
   * Source: OCI distribution-spec 1.1, "Listing Referrers", "Unavailable Referrers API".
   */
  async referrers(
    digest: Digest,
    artifactType?: string,
    signal?: AbortSignal,
    policy?: RetryPolicy,
  ): Promise<readonly Descriptor[]> {
    const fallback = this.#fallback(digest, signal, policy);
    // Nobody waits for it where the API answers.
    fallback.catch(() => undefined);
    const found = (await this.#referrersApi(digest, artifactType, signal, policy)) ?? (await fallback);
    return artifactType === undefined ? found : found.filter((entry) => entry.artifactType === artifactType);
  }

  /** @returns whether the registry says that it keeps track of the subject */
  async #put(reference: string, manifest: RawManifest, signal?: AbortSignal): Promise<boolean> {
    const { mediaType: type, digest } = manifest.descriptor;
    const what = `manifest "${this.#repository}:${reference}"`;
    const response = await this.#client.call({
      method: 'PUT',
      target: this.#client.urlOf(`${this.#repository}/manifests/${reference}`),
      headers: { 'content-type': type },
      body: manifest.bytes,
      scopes: this.#scopes,
      expect: [201],
      action: `write ${what}`,
      missing: 'SLUICE_IMAGE_NOT_FOUND',
      signal,
    });
    await response.discard();
    const stored = response.header('docker-content-digest');
    if (stored?.startsWith('sha256:') && stored !== digest) throw mismatch(what, digest, stored);
    return response.header('oci-subject') !== undefined;
  }

  /** @returns `undefined` when the registry has no such API */
  async #referrersApi(
    digest: Digest,
    artifactType: string | undefined,
    signal: AbortSignal | undefined,
    policy: RetryPolicy | undefined,
  ): Promise<readonly Descriptor[] | undefined> {
    const query = artifactType === undefined ? '' : `?artifactType=${encodeURIComponent(artifactType)}`;
    let target = this.#client.urlOf(`${this.#repository}/referrers/${digest}${query}`);
    const found: Descriptor[] = [];
    for (let page = 0; page < maximumPages; page++) {
      const call: RegistryCall = {
        method: 'GET',
        target,
        headers: { accept: mediaType.ociIndex },
        scopes: this.#scopes,
        expect: [200, 404, 405],
        action: `list referrers of ${digest}`,
        signal,
      };
      const { response, bytes } = await document(this.#client, call, policy);
      if (response.status !== 200) return page === 0 ? undefined : found;
      found.push(...parseIndex({ descriptor: describeBytes(mediaType.ociIndex, bytes), bytes }).manifests);
      if (found.length > maximumReferrers) return found.slice(0, maximumReferrers);
      const next = nextPage(response, target);
      if (next === undefined) return found;
      target = next;
    }
    return found;
  }

  async #fallback(digest: Digest, signal?: AbortSignal, policy?: RetryPolicy): Promise<readonly Descriptor[]> {
    try {
      return parseIndex(await this.get(referrersTag(digest), undefined, signal, policy)).manifests;
    } catch (error) {
      if (error instanceof NotFoundError) return [];
      throw error;
    }
  }

  /** Source: OCI distribution-spec 1.1, "Pushing Manifests with Subject". Two writers at once may lose an entry. */
  async #putFallback(
    { subject, descriptor }: Referrer,
    signal?: AbortSignal,
    replaced: readonly Digest[] = [],
  ): Promise<void> {
    const gone = new Set([descriptor.digest, ...replaced]);
    const others = (await this.#fallback(subject, signal)).filter(({ digest }) => !gone.has(digest));
    const index = writeManifest(mediaType.ociIndex, { manifests: [...others, descriptor] });
    await this.#put(referrersTag(subject), index, signal);
  }

  /** Many registries and most credentials do not allow it; then it stays, and its date tells that it is the older one. */
  async #delete(digest: Digest, signal?: AbortSignal): Promise<void> {
    try {
      const response = await this.#client.call({
        method: 'DELETE',
        target: this.#client.urlOf(`${this.#repository}/manifests/${digest}`),
        scopes: [`repository:${this.#repository}:pull,push,delete`],
        expect: [202],
        action: `delete manifest ${digest}`,
        retry: false,
        signal,
      });
      await response.discard();
    } catch (error) {
      if (!(error instanceof SluiceError)) throw error;
    }
  }
}
