import type { FileStore } from '../cache/file-store.ts';
import { hash } from '../digest/hash.ts';
import { SluiceError } from '../errors.ts';
import { describeBytes, writeManifest } from '../oci/canonical-json.ts';
import { type Digest, digestHex, parseDigest } from '../oci/digest.ts';
import type { BlobSource, Descriptor, ImageSource, RawManifest } from '../oci/image.ts';
import { parseJsonObject, stringAt } from '../oci/json.ts';
import { type ImageIndex, parseIndex, sniffMediaType } from '../oci/manifest.ts';
import { mediaType } from '../oci/media-types.ts';
import { readDocument } from '../oci/read-document.ts';
import { type ImageStale, imageChannels } from './channels.ts';

/** A list of referrers this old is asked for again, beside the start that uses it (ADR-0008). */
const listLifeMs = 24 * 3600 * 1000;

/** On a kept list: when the registry gave it. */
const askedAnnotation = 'dev.sluice.asked';

/** Where an image's manifest came from, when its place did not answer. */
export interface KeptAnswer {
  readonly kept: true;
  /** When the place said last what the tag means, ISO 8601. */
  readonly at: string;
}

/**
 * Keeps the manifests and the config of an image, and what refers to it, so that opening it again by digest needs no
 * network. A tag may name another image by now, so it is asked for every time.
 */
export class KeptDocuments implements BlobSource, Pick<ImageSource, 'resolve' | 'readManifest' | 'referrers'> {
  readonly #source: ImageSource;
  readonly #files: FileStore;
  #resolvedFrom: KeptAnswer | undefined;
  /** Of the reference, when it has one. */
  readonly #digest: Digest | undefined;

  /** @param source - stays the caller's */
  constructor(source: ImageSource, files: FileStore) {
    this.#source = source;
    this.#files = files;
    this.#digest = /@(sha256:[0-9a-f]{64})$/.exec(source.reference)?.[1] as Digest | undefined;
  }

  /**
   * A tag may name another image by now, so it is asked for every time; only a place that does not answer at all is done
   * without, and that is said.
   */
  async resolve(signal?: AbortSignal): Promise<RawManifest> {
    const digest = this.#digest;
    if (digest !== undefined) return (await this.#kept(digest)) ?? this.#keep(await this.#source.resolve(signal));
    const tag = await this.#keptTag();
    const known = tag && (await this.#kept(tag.digest));
    try {
      const raw = await this.#keep(await this.#source.resolve(signal, known && 'short'));
      await this.#keepTag(raw.descriptor.digest);
      return raw;
    } catch (error) {
      if (known === undefined || tag === undefined || !isAway(error)) throw error;
      const { digest, at } = tag;
      this.#resolvedFrom = { kept: true, at };
      imageChannels.stale.publish({ image: this.#source.reference, digest, at, error } satisfies ImageStale);
      return known;
    }
  }

  /** Undefined: its place said which image it is. */
  get resolvedFrom(): KeptAnswer | undefined {
    return this.#resolvedFrom;
  }

  async readManifest(descriptor: Descriptor, signal?: AbortSignal): Promise<RawManifest> {
    const bytes = await this.#files.get('manifest', digestHex(descriptor.digest));
    if (bytes !== undefined) return { descriptor, bytes };
    return this.#keep(await this.#source.readManifest(descriptor, signal));
  }

  /**
   * Unlike a manifest, a list changes. The kept one is good enough for a start, which would otherwise wait for it; when
   * it is old, the next start gets a new one. However the image was named: the list is of the manifest.
   */
  async referrers(digest: Digest, artifactType?: string, signal?: AbortSignal): Promise<readonly Descriptor[]> {
    const kept = await this.#keptList(digest, artifactType);
    if (kept === undefined) return this.askReferrers(digest, artifactType, signal);
    const asked = Date.parse(kept.annotations[askedAnnotation] ?? '');
    const isFresh = Math.abs(Date.now() - asked) < listLifeMs;
    // Not of this start, which may be over sooner: closing the source ends it.
    if (!isFresh) void this.askReferrers(digest, artifactType).catch(() => undefined);
    return kept.manifests;
  }

  /** Asks the source in any case, and keeps what it says. */
  async askReferrers(digest: Digest, artifactType?: string, signal?: AbortSignal): Promise<readonly Descriptor[]> {
    const manifests = await this.#source.referrers(digest, artifactType, signal);
    const annotations = { [askedAnnotation]: new Date().toISOString() };
    const { bytes } = writeManifest(mediaType.ociIndex, { manifests, annotations });
    await this.#files.put('referrers', listName(digest, artifactType), bytes);
    return manifests;
  }

  /** @param descriptor - of the config: nothing else is read by this face */
  async *readBlob(descriptor: Descriptor, _range: undefined, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
    const hex = digestHex(descriptor.digest);
    const kept = await this.#files.get('config', hex);
    if (kept !== undefined) return yield kept;
    const bytes = await readDocument(this.#source, descriptor, signal);
    await this.#files.put('config', hex, bytes);
    yield bytes;
  }

  async #kept(digest: Digest): Promise<RawManifest | undefined> {
    const bytes = await this.#files.get('manifest', digestHex(digest));
    return bytes && { descriptor: describeBytes(sniffMediaType(bytes, `manifest ${digest}`), bytes), bytes };
  }

  async #keepTag(digest: Digest): Promise<void> {
    const record = { digest, at: new Date().toISOString() };
    await this.#files.put('tag', listName(this.#source.reference), Buffer.from(JSON.stringify(record)));
  }

  /** What a tag meant when it was asked for last. */
  async #keptTag(): Promise<{ readonly digest: Digest; readonly at: string } | undefined> {
    const bytes = await this.#files.get('tag', listName(this.#source.reference));
    try {
      const { digest, at } = parseJsonObject(bytes ?? new Uint8Array(0), 'tag');
      return { digest: parseDigest(stringAt(digest, 'digest')), at: stringAt(at, 'at') };
    } catch {
      // None, or damaged on disk: it is asked for, as ever.
      return undefined;
    }
  }

  async #keptList(digest: Digest, artifactType: string | undefined): Promise<ImageIndex | undefined> {
    const bytes = await this.#files.get('referrers', listName(digest, artifactType));
    try {
      return bytes && parseIndex({ descriptor: describeBytes(mediaType.ociIndex, bytes), bytes });
    } catch {
      // Damaged on disk: it is asked for again and replaced.
      return undefined;
    }
  }

  async #keep(manifest: RawManifest): Promise<RawManifest> {
    await this.#files.put('manifest', digestHex(manifest.descriptor.digest), manifest.bytes);
    return manifest;
  }
}

/** Whether a place said nothing of the image: whoever knows an older answer may use it. */
function isAway(error: unknown): boolean {
  return error instanceof SluiceError && (error.retryable || error.code === 'SLUICE_OFFLINE');
}

function listName(digest: string, artifactType = ''): string {
  return Buffer.from(hash('sha256', Buffer.from(`${digest} ${artifactType}`))).toString('hex');
}
