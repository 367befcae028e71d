import { randomBytes } from 'node:crypto';
import { mkdir, open, stat } from 'node:fs/promises';
import path from 'node:path';
import { writeAtomically } from '../atomic-file.ts';
import { verifyStream } from '../digest/verified-stream.ts';
import type { Digest } from '../oci/digest.ts';
import type { Descriptor, ImageTarget, RawManifest, ReferrerTarget } from '../oci/image.ts';
import {
  layoutBlobPath,
  layoutFile,
  layoutFileContent,
  layoutIndexFile,
  updateLayoutIndex,
} from '../oci/layout-index.ts';
import { formatReference, type LayoutReference } from '../oci/reference.ts';
import { describeReferrer } from '../oci/referrer.ts';
import { replaceLocked } from './replace-locked.ts';

async function* one(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

class LayoutTarget implements ImageTarget, ReferrerTarget {
  readonly reference: string;
  readonly repository = undefined;
  readonly #root: string;
  readonly #tag: string | undefined;

  constructor(reference: LayoutReference) {
    this.reference = formatReference(reference);
    this.#root = path.resolve(reference.path);
    this.#tag = reference.tag;
  }

  async hasBlob(descriptor: Descriptor): Promise<boolean> {
    const found = await stat(this.#blobFile(descriptor)).catch(() => undefined);
    return found?.isFile() === true && found.size === descriptor.size;
  }

  async putBlob(
    descriptor: Descriptor,
    content: () => AsyncIterable<Uint8Array>,
    signal?: AbortSignal,
  ): Promise<boolean> {
    if (await this.hasBlob(descriptor)) return false;
    const file = this.#blobFile(descriptor);
    await mkdir(path.dirname(file), { recursive: true });
    // Beside blobs/, not inside: a crash leaves nothing there that a reader could take for a blob.
    const temporary = path.join(this.#root, `.incoming-${randomBytes(8).toString('hex')}`);
    const verified = verifyStream(content(), descriptor, descriptor.digest);
    await writeAtomically(file, temporary, verified, 0o644, signal);
    await syncFolder(path.dirname(file));
    return true;
  }

  /** A folder has no other repositories. */
  async mountBlob(): Promise<boolean> {
    return false;
  }

  async putManifest(manifest: RawManifest, tag: boolean, signal?: AbortSignal): Promise<void> {
    await this.putBlob(manifest.descriptor, () => one(manifest.bytes), signal);
    const referrer = describeReferrer(manifest);
    if (!tag && referrer === undefined) return;
    await replaceLocked(path.join(this.#root, layoutFile), () => layoutFileContent, signal);
    const listed = tag ? manifest.descriptor : (referrer?.descriptor ?? manifest.descriptor);
    await this.#updateIndex((old) => updateLayoutIndex(old, listed, tag ? this.#tag : undefined), signal);
  }

  /** What is replaced stays as a file: a layout does not know who else refers to it. */
  async putReferrer(manifest: RawManifest, replaced: readonly Digest[], signal?: AbortSignal): Promise<void> {
    await this.putBlob(manifest.descriptor, () => one(manifest.bytes), signal);
    const listed = describeReferrer(manifest)?.descriptor ?? manifest.descriptor;
    await this.#updateIndex((old) => updateLayoutIndex(old, listed, undefined, replaced), signal);
  }

  async close(): Promise<void> {}

  async #updateIndex(update: (old: Uint8Array | undefined) => Uint8Array, signal?: AbortSignal): Promise<void> {
    await replaceLocked(path.join(this.#root, layoutIndexFile), update, signal);
    await syncFolder(this.#root);
  }

  #blobFile(descriptor: Descriptor): string {
    return path.join(this.#root, layoutBlobPath(descriptor.digest));
  }
}

/** Opens an OCI layout folder for writing; it is made when it does not exist. Several processes may write at once. */
export function openLayoutTarget(reference: LayoutReference): ImageTarget & ReferrerTarget {
  return new LayoutTarget(reference);
}
