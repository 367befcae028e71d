import { createHash, type Hash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { byteStringFromText } from '../byte-string.ts';
import { type Digest, digestFromBytes } from '../oci/digest.ts';
import type { Descriptor } from '../oci/image.ts';
import { mediaType } from '../oci/media-types.ts';
import type { TarEntry } from '../tar/reader.ts';
import { tarEnd, tarHeader, tarPadding } from '../tar/writer.ts';

/** A file of the sample image. */
export interface SampleFile {
  /** Without a slash in front. */
  readonly path: string;
  /** Permission bits. */
  readonly mode: number;
  /** A file of this machine, bytes, or where a symbolic link leads. */
  readonly content: { readonly file: string } | { readonly bytes: Uint8Array } | { readonly target: string };
  /** Default: root. */
  readonly owner?: number;
}

/** A layer of the sample image, as a file. */
export interface SampleLayer {
  readonly descriptor: Descriptor;
  readonly diffId: Digest;
  /** Of the tar, bytes. */
  readonly unpackedSize: number;
  readonly content: () => AsyncIterable<Uint8Array>;
}

/**
 * Writes a tar+gzip layer, the kind every image tool makes.
 * @param file - a new file, the caller's to remove
 */
export async function writeSampleLayer(
  files: readonly SampleFile[],
  file: string,
  signal: AbortSignal,
): Promise<SampleLayer> {
  const plain = new Tally();
  const compressed = new Tally();
  await pipeline(
    Readable.from(plain.count(sampleTar(files)), { objectMode: true, highWaterMark: 2 }),
    createGzip(),
    (stream: AsyncIterable<Uint8Array>) => compressed.count(stream),
    createWriteStream(file, { flags: 'wx' }),
    { signal },
  );
  return {
    descriptor: { mediaType: mediaType.ociLayerGzip, digest: compressed.digest(), size: compressed.size },
    diffId: plain.digest(),
    unpackedSize: plain.size,
    content: () => createReadStream(file, { highWaterMark: 1 << 20 }),
  };
}

/** One piece a file: no file of the sample is so large that it would not fit in memory. */
async function* sampleTar(files: readonly SampleFile[]): AsyncGenerator<Uint8Array> {
  for (const { content, ...file } of files) {
    const bytes = 'target' in content ? undefined : 'bytes' in content ? content.bytes : await readFile(content.file);
    const header = tarHeader({
      ...plainEntry,
      path: byteStringFromText(file.path),
      linkTarget: byteStringFromText('target' in content ? content.target : ''),
      type: bytes === undefined ? 'symlink' : 'file',
      mode: file.mode,
      uid: file.owner ?? 0,
      gid: file.owner ?? 0,
      size: bytes?.length ?? 0,
    });
    yield bytes === undefined ? header : Buffer.concat([header, bytes, tarPadding(bytes.length)]);
  }
  yield tarEnd;
}

const plainEntry = {
  mtime: 1_600_000_000,
  mtimeNs: 0,
  major: 0,
  minor: 0,
  xattrs: new Map(),
  sparse: undefined,
} satisfies Partial<TarEntry>;

/** Size and digest of what flows through. */
class Tally {
  readonly #hash: Hash = createHash('sha256');
  size = 0;

  async *count(stream: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const bytes of stream) {
      this.#hash.update(bytes);
      this.size += bytes.length;
      yield bytes;
    }
  }

  digest(): Digest {
    return digestFromBytes(this.#hash.digest());
  }
}
