import { createHash, type Hash, randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { type Digest, digestFromBytes, digestHex } from '../oci/digest.ts';
import type { ByteRange, Descriptor, RawManifest } from '../oci/image.ts';
import { describeReferrer } from '../oci/referrer.ts';

/** Large enough for throughput, small enough that a hundred readers fit in memory. */
const readBytes = 256 * 1024;

/** A blob that is being sent. What arrived before a connection broke stays, so that it can go on. */
export interface Upload {
  readonly id: string;
  readonly repository: string;
  readonly file: string;
  /** Bytes. */
  size: number;
  readonly hash: Hash;
}

interface Repository {
  /** Size of each blob that was sent to, or mounted in, this repository. */
  readonly blobs: Map<Digest, number>;
  readonly manifests: Map<Digest, RawManifest>;
  readonly tags: Map<string, Digest>;
}

/** What a registry holds: blobs in files of one folder, everything else in memory. It lives as long as its process. */
export class RegistryStore {
  readonly #root: string;
  readonly #repositories = new Map<string, Repository>();
  readonly #uploads = new Map<string, Upload>();

  /** @param root - a folder of its own, made when missing; the caller removes it */
  constructor(root: string) {
    this.#root = root;
  }

  blobSize(repository: string, digest: Digest): number | undefined {
    return this.#repositories.get(repository)?.blobs.get(digest);
  }

  /** @param range - not empty, inside of the blob */
  readBlob(digest: Digest, range: ByteRange): AsyncIterable<Uint8Array> {
    const { start, end } = range;
    return createReadStream(this.blobFile(digest), { start, end: end - 1, highWaterMark: readBytes });
  }

  /** False when `from` has no such blob. */
  async mountBlob(repository: string, digest: Digest, from: string): Promise<boolean> {
    const size = this.blobSize(from, digest);
    if (size !== undefined) this.#repository(repository).blobs.set(digest, size);
    return size !== undefined;
  }

  async startUpload(repository: string): Promise<Upload> {
    await mkdir(path.join(this.#root, 'uploads'), { recursive: true });
    const id = randomUUID();
    const file = path.join(this.#root, 'uploads', id);
    await (await open(file, 'wx')).close();
    const upload = { id, repository, file, size: 0, hash: createHash('sha256') };
    this.#uploads.set(id, upload);
    return upload;
  }

  findUpload(repository: string, id: string): Upload | undefined {
    const upload = this.#uploads.get(id);
    return upload?.repository === repository ? upload : undefined;
  }

  /** Appends as the bytes come in; throws what `content` throws, and keeps what came before. */
  async appendUpload(upload: Upload, content: AsyncIterable<Uint8Array>): Promise<void> {
    const handle = await open(upload.file, 'a');
    try {
      for await (const chunk of content) {
        await handle.appendFile(chunk);
        upload.hash.update(chunk);
        upload.size += chunk.byteLength;
      }
    } finally {
      await handle.close();
    }
  }

  /** Makes the upload a blob. False, and the upload is gone, when its digest is another. */
  async finishUpload(upload: Upload, digest: Digest): Promise<boolean> {
    this.#uploads.delete(upload.id);
    if (digestFromBytes(upload.hash.digest()) !== digest) {
      await rm(upload.file);
      return false;
    }
    await mkdir(path.dirname(this.blobFile(digest)), { recursive: true });
    await rename(upload.file, this.blobFile(digest));
    this.#repository(upload.repository).blobs.set(digest, upload.size);
    return true;
  }

  async cancelUpload(upload: Upload): Promise<void> {
    this.#uploads.delete(upload.id);
    await rm(upload.file, { force: true });
  }

  /** @param reference - a tag or a digest */
  manifest(repository: string, reference: string): RawManifest | undefined {
    const known = this.#repositories.get(repository);
    return known?.manifests.get(known.tags.get(reference) ?? (reference as Digest));
  }

  /** @param tag - `undefined` stores by digest only */
  putManifest(repository: string, manifest: RawManifest, tag: string | undefined): void {
    const { manifests, tags } = this.#repository(repository);
    manifests.set(manifest.descriptor.digest, manifest);
    if (tag !== undefined) tags.set(tag, manifest.descriptor.digest);
  }

  /** With the tags that name it. @returns false when there is none */
  deleteManifest(repository: string, digest: Digest): boolean {
    const known = this.#repositories.get(repository);
    for (const [tag, named] of known?.tags ?? []) if (named === digest) known?.tags.delete(tag);
    return known?.manifests.delete(digest) ?? false;
  }

  tags(repository: string): readonly string[] | undefined {
    const known = this.#repositories.get(repository);
    return known && [...known.tags.keys()].sort();
  }

  referrers(repository: string, subject: string): readonly Descriptor[] {
    const manifests = [...(this.#repositories.get(repository)?.manifests.values() ?? [])];
    const referrers = manifests.map(describeReferrer).filter((referrer) => referrer?.subject === subject);
    return referrers.flatMap((referrer) => (referrer ? [referrer.descriptor] : []));
  }

  #repository(name: string): Repository {
    const known = this.#repositories.get(name);
    if (known) return known;
    const created: Repository = { blobs: new Map(), manifests: new Map(), tags: new Map() };
    this.#repositories.set(name, created);
    return created;
  }

  /** Where a blob lies, whether it is there or not. */
  blobFile(digest: Digest): string {
    return path.join(this.#root, 'blobs', digestHex(digest));
  }
}
