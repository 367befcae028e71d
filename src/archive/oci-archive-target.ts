import { randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, mkdtemp, open, readdir, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { writeAtomically } from '../atomic-file.ts';
import { byteStringFromText } from '../byte-string.ts';
import { verifyStream } from '../digest/verified-stream.ts';
import { digestHex } from '../oci/digest.ts';
import type { Descriptor, ImageTarget, RawManifest } from '../oci/image.ts';
import { layoutFile, layoutFileContent, layoutIndexFile, updateLayoutIndex } from '../oci/layout-index.ts';
import { formatReference, type LayoutReference } from '../oci/reference.ts';
import { describeReferrer } from '../oci/referrer.ts';
import { tarEnd, tarHeader, tarPadding } from '../tar/writer.ts';

async function* one(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/** The same header for every member, so that the same image makes the same file. */
function header(name: string, size: number): Uint8Array {
  return tarHeader({
    path: byteStringFromText(name),
    linkTarget: byteStringFromText(''),
    type: 'file',
    mode: 0o644,
    uid: 0,
    gid: 0,
    size,
    mtime: 0,
    mtimeNs: 0,
    major: 0,
    minor: 0,
    xattrs: new Map(),
    sparse: undefined,
  });
}

async function writeMember(archive: FileHandle, name: string, content: Uint8Array): Promise<void> {
  await archive.writeFile(Buffer.concat([header(name, content.byteLength), content, tarPadding(content.byteLength)]));
}

class OciArchiveTarget implements ImageTarget {
  readonly reference: string;
  readonly repository = undefined;
  readonly #file: string;
  readonly #tag: string | undefined;
  /** Blobs wait here, a file each named by its digits, until the archive is written. */
  #folder: Promise<string> | undefined;
  #index: Uint8Array | undefined;
  #visible = false;

  constructor(reference: LayoutReference) {
    this.reference = formatReference(reference);
    this.#file = path.resolve(reference.path);
    this.#tag = reference.tag;
  }

  async hasBlob(descriptor: Descriptor): Promise<boolean> {
    return (await stat(await this.#blobFile(descriptor)).catch(() => undefined)) !== undefined;
  }

  async putBlob(
    descriptor: Descriptor,
    content: () => AsyncIterable<Uint8Array>,
    signal?: AbortSignal,
  ): Promise<boolean> {
    if (await this.hasBlob(descriptor)) return false;
    const file = await this.#blobFile(descriptor);
    const incoming = `${file}.${randomBytes(4).toString('hex')}`;
    const verified = verifyStream(content(), descriptor, descriptor.digest);
    await writeAtomically(file, incoming, verified, 0o600, signal);
    return true;
  }

  /** An archive has no other repositories. */
  async mountBlob(): Promise<boolean> {
    return false;
  }

  async putManifest(manifest: RawManifest, tag: boolean, signal?: AbortSignal): Promise<void> {
    await this.putBlob(manifest.descriptor, () => one(manifest.bytes), signal);
    const referrer = describeReferrer(manifest);
    if (!tag && referrer === undefined) return;
    const listed = tag ? manifest.descriptor : (referrer?.descriptor ?? manifest.descriptor);
    this.#index = updateLayoutIndex(this.#index, listed, tag ? this.#tag : undefined);
    this.#visible ||= tag;
    if (this.#visible) await this.#writeArchive(this.#index);
  }

  async close(): Promise<void> {
    if (this.#folder) await rm(await this.#folder, { recursive: true, force: true });
    this.#folder = undefined;
  }

  async #writeArchive(index: Uint8Array): Promise<void> {
    const folder = await this.#blobFolder();
    const temporary = path.join(folder, 'archive');
    const archive = await open(temporary, 'w', 0o644);
    try {
      await writeMember(archive, layoutFile, layoutFileContent);
      await writeMember(archive, layoutIndexFile, index);
      const blobs = (await readdir(folder)).filter((name) => /^[0-9a-f]{64}$/.test(name)).sort();
      for (const name of blobs) await this.#writeBlob(archive, path.join(folder, name), `blobs/sha256/${name}`);
      await archive.writeFile(tarEnd);
      await archive.sync();
    } finally {
      await archive.close();
    }
    await rename(temporary, this.#file);
  }

  async #writeBlob(archive: FileHandle, file: string, name: string): Promise<void> {
    const { size } = await stat(file);
    await archive.writeFile(header(name, size));
    for await (const chunk of createReadStream(file, { highWaterMark: 1024 * 1024 })) await archive.writeFile(chunk);
    await archive.writeFile(tarPadding(size));
  }

  /** Beside the archive: it becomes one by rename, and there is room for it there or nowhere. */
  #blobFolder(): Promise<string> {
    this.#folder ??= mkdtemp(path.join(path.dirname(this.#file), '.sluice-archive-'));
    return this.#folder;
  }

  async #blobFile(descriptor: Descriptor): Promise<string> {
    return path.join(await this.#blobFolder(), digestHex(descriptor.digest));
  }
}

/**
 * Opens a tar of an OCI layout for writing. The file appears, or takes the place of one that is there, when a manifest
 * is stored under the tag; members are in a fixed order and carry no times, so the same image makes the same bytes.
 */
export function openOciArchiveTarget(reference: LayoutReference): ImageTarget {
  return new OciArchiveTarget(reference);
}
