import type { Digest } from './digest.ts';

/** Source: OCI image-spec 1.1, descriptor.md. */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly urls?: readonly string[];
  readonly artifactType?: string;
  readonly platform?: Platform;
  /** The content itself in base64, as unverified as what a server sends. */
  readonly data?: string;
}

/** Source: OCI image-spec 1.1, image-index.md. */
export interface Platform {
  readonly architecture: string;
  readonly os: string;
  readonly variant?: string;
  readonly 'os.version'?: string;
}

/** Bytes of a manifest or index as they are stored: what the digest is over. */
export interface RawManifest {
  readonly descriptor: Descriptor;
  readonly bytes: Uint8Array;
}

/** Half-open range in bytes. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/**
 * A place blobs can be read from. Idempotent; safe to call concurrently.
 */
export interface BlobSource {
  /**
   * Streams a blob or a range of it, unverified: the caller hashes what it reads.
   * The chunks belong to the caller. Ending the iteration early releases the connection or file.
   * A source that cannot do ranges yields exactly the range all the same.
   * @throws {NotFoundError} SLUICE_BLOB_NOT_FOUND
   * @throws {RegistryError} any code; `retryable` says whether to try again
   */
  readBlob(descriptor: Descriptor, range?: ByteRange, signal?: AbortSignal): AsyncIterable<Uint8Array>;
}

/** One of several places that have the same blobs: a mirror, or the registry itself. */
export interface BlobPlace extends BlobSource {
  /** For messages and status: a URL without credentials. Unique within its image. */
  readonly name: string;
  /** Bytes of a blob were wrong: what is remembered of where it lies is forgotten. */
  distrust?(descriptor: Descriptor): void;
}

/** A blob that lies in a local file: what worker threads read without a hop. */
export interface LocalBlob {
  readonly path: string;
  readonly offset: number;
  readonly length: number;
}

/** One image in one place. Digests and sizes of manifests are verified before they are returned. */
export interface ImageSource extends BlobSource {
  /** Canonical, with the transport, for messages: `docker://127.0.0.1:5000/python:latest`. Holds no credentials. */
  readonly reference: string;
  /** Where its blobs can be read from, best first; undefined where there is only this one. */
  readonly places?: readonly BlobPlace[];
  /** When credentials, or a token for them, were last obtained, ms since the epoch; undefined when none were needed. */
  credentials?(): { readonly obtainedAt: number } | undefined;
  /**
   * The manifest the reference names: an index, or a manifest.
   * @param patience - `short` for whoever has another answer: one try, of seconds
   * @throws {NotFoundError} SLUICE_IMAGE_NOT_FOUND
   */
  resolve(signal?: AbortSignal, patience?: 'short'): Promise<RawManifest>;
  /** A manifest of the same repository by descriptor. */
  readManifest(descriptor: Descriptor, signal?: AbortSignal): Promise<RawManifest>;
  /** Manifests whose `subject` is `digest`; empty where the place keeps none. */
  referrers(digest: Digest, artifactType?: string, signal?: AbortSignal): Promise<readonly Descriptor[]>;
  /** Where the blob lies when it is a plain local file (or a run of one); `undefined` for a registry. */
  localBlob(descriptor: Descriptor): Promise<LocalBlob | undefined>;
  close(): Promise<void>;
}

/** A place an image can be written to. Nothing is visible under the tag before `putManifest` returns. */
export interface ImageTarget {
  readonly reference: string;
  /** What `mountBlob` of another target of the same registry calls this one; `undefined` where there are none. */
  readonly repository: string | undefined;
  hasBlob(descriptor: Descriptor, signal?: AbortSignal): Promise<boolean>;
  /**
   * Stores a blob and verifies digest and size on the way; a blob that exists is not sent again.
   * @param content - called once an attempt, so that an upload can be tried again from the start
   * @returns whether bytes were sent
   */
  putBlob(descriptor: Descriptor, content: () => AsyncIterable<Uint8Array>, signal?: AbortSignal): Promise<boolean>;
  /** Makes a blob of another repository of the same registry available here, without sending it. False when refused. */
  mountBlob(descriptor: Descriptor, fromRepository: string, signal?: AbortSignal): Promise<boolean>;
  /** Stores a manifest or index; under the reference's tag when `tag` is true, else by digest only. Atomic. */
  putManifest(manifest: RawManifest, tag: boolean, signal?: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

/** A place that holds images to which other manifests can be attached: these name the image as their subject. */
export interface ReferrerTarget extends Pick<ImageTarget, 'reference' | 'putBlob' | 'close'> {
  /**
   * Stores a manifest that has a subject, so that `ImageSource.referrers` lists it. The subject does not change.
   * @param replaced - referrers of the same subject that are not listed from now on; their manifests are deleted where
   *   the place lets one
   */
  putReferrer(manifest: RawManifest, replaced: readonly Digest[], signal?: AbortSignal): Promise<void>;
}
