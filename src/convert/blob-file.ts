import { createHash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import { type Digest, digestFromBytes } from '../oci/digest.ts';

/** What is known of a blob once it is whole. */
export interface WrittenBlob {
  readonly blob: Digest;
  readonly size: number;
  /** SHA-256 of the device image. */
  readonly deviceDigest: Digest;
}

/** A layer blob on its way to disk: appended to, hashed on the way, synced at the end. */
export class BlobFile {
  readonly #handle: FileHandle;
  readonly #blob = createHash('sha256');
  readonly #device = createHash('sha256');
  #size = 0;

  private constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  static async create(path: string): Promise<BlobFile> {
    return new BlobFile(await open(path, 'wx', 0o600));
  }

  /** @param raw - what the frames decompress to; neither is kept */
  async append(frames: Uint8Array, raw: Uint8Array): Promise<void> {
    this.#device.update(raw);
    this.#blob.update(frames);
    this.#size += frames.length;
    await this.#handle.appendFile(frames);
  }

  /** Ends the blob with its metadata frame and closes the file. */
  async finish(metadataFrame: Uint8Array): Promise<WrittenBlob> {
    await this.append(metadataFrame, new Uint8Array(0));
    await this.#handle.sync();
    await this.#handle.close();
    return {
      blob: digestFromBytes(this.#blob.digest()),
      size: this.#size,
      deviceDigest: digestFromBytes(this.#device.digest()),
    };
  }

  /** Closes the file without finishing it. */
  async abandon(): Promise<void> {
    await this.#handle.close();
  }
}
