import { verifyStream } from '../digest/verified-stream.ts';
import { RegistryError, SluiceError } from '../errors.ts';
import type { Digest } from '../oci/digest.ts';
import type { ByteRange, Descriptor, ImageSource, RawManifest } from '../oci/image.ts';
import { formatReference, type RegistryReference } from '../oci/reference.ts';
import { type PlacePassedOver, registryChannels } from './channels.ts';
import { registryHosts } from './hosts.ts';
import { type RegistryOptions, type RetryPolicy, singleTry } from './registry-options.ts';
import { RegistryPlace } from './registry-place.ts';

/** What follows the manifest at once: the bootstrap, and both ways to ask what refers to it. */
const requestsAtOnce = 3;
/** How long a place has to answer whoever has another answer. */
const shortMs = 3_000;
/** A whole blob of a mirror is verified before a byte of it is passed on, as long as it fits: then another place can be asked. */
const maximumHeldBytes = 16 * 1024 * 1024;

/** How a place is asked. */
interface Attempt {
  readonly signal: AbortSignal | undefined;
  /** Undefined: as hard as ever. */
  readonly policy: RetryPolicy | undefined;
}

/**
 * An image in a registry that may have mirrors. Those are tried first, and once; whatever a mirror does wrong, the next
 * place is asked. The last one's error is the caller's.
 */
class RegistryImage implements ImageSource {
  readonly reference: string;
  readonly places: readonly RegistryPlace[];
  readonly #name: string;

  constructor(reference: RegistryReference, options: RegistryOptions) {
    this.reference = formatReference(reference);
    this.#name = reference.digest ?? reference.tag ?? 'latest';
    this.places = registryHosts(reference, options).places.map((host) => new RegistryPlace(host, reference, options));
  }

  credentials(): { obtainedAt: number } | undefined {
    const obtainedAt = Math.max(...this.places.map(({ client }) => client.authorizedAt ?? 0));
    return obtainedAt === 0 ? undefined : { obtainedAt };
  }

  resolve(signal?: AbortSignal, patience?: 'short'): Promise<RawManifest> {
    const isDigest = this.#name.startsWith('sha256:');
    const places = isDigest ? this.places : this.#believed();
    places[0]?.client.dial(requestsAtOnce);
    return this.#ask(
      places,
      (place, attempt) => place.manifests.get(this.#name, undefined, attempt.signal, attempt.policy),
      signal,
      patience,
    );
  }

  readManifest(descriptor: Descriptor, signal?: AbortSignal): Promise<RawManifest> {
    const { digest, mediaType } = descriptor;
    return this.#ask(
      this.places,
      ({ manifests }, attempt) => manifests.get(digest, mediaType, attempt.signal, attempt.policy),
      signal,
    );
  }

  /** Most mirrors know nothing of referrers, and some say so by an empty list: that is nobody's last word. */
  async referrers(digest: Digest, artifactType?: string, signal?: AbortSignal): Promise<readonly Descriptor[]> {
    const places = this.#believed();
    const ask = ({ manifests }: RegistryPlace, attempt: Attempt): Promise<readonly Descriptor[]> =>
      manifests.referrers(digest, artifactType, attempt.signal, attempt.policy);
    for (const mirror of places.slice(0, -1).filter(({ rests }) => !rests)) {
      const found = await this.#ask([mirror], ask, signal).catch((error: unknown) => {
        this.#passOver(mirror, error, signal);
        return [];
      });
      if (found.length > 0) return found;
    }
    return this.#ask(places.slice(-1), ask, signal);
  }

  async *readBlob(descriptor: Descriptor, range?: ByteRange, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
    const end = range?.end ?? descriptor.size;
    let position = range?.start ?? 0;
    for (const mirror of this.places.slice(0, -1).filter(({ rests }) => !rests)) {
      try {
        for await (const chunk of readMirror(mirror, descriptor, { start: position, end }, signal)) {
          position += chunk.byteLength;
          yield chunk;
        }
        return;
      } catch (error) {
        this.#passOver(mirror, error, signal);
      }
    }
    const rest = range === undefined && position === 0 ? undefined : { start: position, end };
    yield* this.places.at(-1)?.blobs.read(descriptor, rest, signal) ?? [];
  }

  async localBlob(): Promise<undefined> {
    return undefined;
  }

  async close(): Promise<void> {
    await Promise.all(this.places.map(({ client }) => client.close()));
  }

  /** Those that are asked for what may change: the meaning of a tag, what refers to a manifest. */
  #believed(): readonly RegistryPlace[] {
    const able = this.places.filter(({ host }) => host.resolves);
    return able.length > 0 ? able : this.places;
  }

  async #ask<T>(
    places: readonly RegistryPlace[],
    ask: (place: RegistryPlace, attempt: Attempt) => Promise<T>,
    signal: AbortSignal | undefined,
    patience?: 'short',
  ): Promise<T> {
    const [last, ...mirrors] = [...places].reverse();
    for (const mirror of mirrors.reverse().filter(({ rests }) => !rests)) {
      try {
        return await within(mirror, ask, signal, patience, singleTry);
      } catch (error) {
        this.#passOver(mirror, error, signal);
      }
    }
    if (last === undefined) throw new RangeError(`Cannot ask for "${this.reference}": no place`);
    return within(last, ask, signal, patience, last.host.isRegistry && patience === undefined ? undefined : singleTry);
  }

  #passOver(mirror: RegistryPlace, error: unknown, signal: AbortSignal | undefined): void {
    signal?.throwIfAborted();
    // What has failed for reasons of its own is asked again; what does not have one thing may have the next.
    if (error instanceof SluiceError && error.retryable) mirror.rest();
    if (!registryChannels.passedOver.hasSubscribers) return;
    const event: PlacePassedOver = { place: mirror.name, error };
    registryChannels.passedOver.publish(event);
  }
}

async function within<T>(
  place: RegistryPlace,
  ask: (place: RegistryPlace, attempt: Attempt) => Promise<T>,
  signal: AbortSignal | undefined,
  patience: 'short' | undefined,
  policy: RetryPolicy | undefined,
): Promise<T> {
  if (patience === undefined) return ask(place, { signal, policy });
  const late = AbortSignal.timeout(shortMs);
  try {
    return await ask(place, { signal: signal === undefined ? late : AbortSignal.any([signal, late]), policy });
  } catch (error) {
    if (!late.aborted || signal?.aborted) throw error;
    const message = `Cannot reach "${place.name}": no answer within ${shortMs} ms`;
    throw new RegistryError('SLUICE_REGISTRY_TIMEOUT', message, { facts: { url: place.name } });
  }
}

async function* readMirror(
  mirror: RegistryPlace,
  descriptor: Descriptor,
  range: ByteRange,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  const chunks = mirror.readBlob(descriptor, range, signal);
  const isWhole = range.start === 0 && range.end === descriptor.size;
  if (!isWhole || descriptor.size > maximumHeldBytes) return yield* chunks;
  const held: Uint8Array[] = [];
  for await (const chunk of verifyStream(chunks, descriptor, descriptor.digest)) held.push(chunk);
  yield* held;
}

/**
 * Opens an image in a registry for reading; nothing is sent before the first call.
 * @throws {UsageError} SLUICE_REFERENCE_INVALID, SLUICE_OPTION_INVALID for a mirror that is none
 * @throws {FormatError} SLUICE_CONFIG_INVALID for a `hosts.toml` that is not understood
 */
export function openRegistryImage(reference: RegistryReference, options: RegistryOptions = {}): ImageSource {
  return new RegistryImage(reference, options);
}
