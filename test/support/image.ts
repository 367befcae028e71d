import { randomBytes } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { type Header, pack } from 'tar-stream';
import { canonicalJson, describeBytes, writeManifest } from '../../src/oci/canonical-json.ts';
import type { Descriptor, ImageTarget, RawManifest } from '../../src/oci/image.ts';
import { mediaType } from '../../src/oci/media-types.ts';

/** A blob in memory. */
export interface MemoryBlob {
  readonly descriptor: Descriptor;
  readonly bytes: Uint8Array;
}

/** A complete image in memory. */
export interface MemoryImage {
  readonly config: MemoryBlob;
  /** Lowest first. */
  readonly layers: readonly MemoryBlob[];
  readonly manifest: RawManifest;
}

/** One member of a tar: tar-stream's header, and a file's content. */
export type TarMember = Partial<Header> & Pick<Header, 'name'> & { readonly content?: string | Uint8Array };

/** Makes a tar with tar-stream: a writer that is not ours. The same members make the same bytes. */
export async function tarBytes(members: readonly TarMember[]): Promise<Uint8Array> {
  const archive = pack();
  for (const { content, ...headers } of members) {
    archive.entry({ mtime: new Date(1_700_000_000_000), ...headers }, Buffer.from(content ?? ''));
  }
  archive.finalize();
  const chunks: Uint8Array[] = [];
  for await (const chunk of archive) chunks.push(chunk as Uint8Array);
  return Buffer.concat(chunks);
}

export interface MemoryImageOptions {
  /** How the layers are stored. Default: gzip. */
  readonly compression?: 'none' | 'gzip';
  /** Joins the image config: `Entrypoint`, `Cmd`, `Env`, … */
  readonly config?: object;
  /** Joins the manifest: `annotations`, `subject`, `artifactType`. */
  readonly manifest?: object;
}

/** Makes an OCI image for linux/amd64. @param tars - uncompressed layers, lowest first */
export function memoryImage(tars: readonly Uint8Array[], options: MemoryImageOptions = {}): MemoryImage {
  const plain = options.compression === 'none';
  const layers = tars.map((tar) => {
    const bytes = plain ? tar : gzipSync(tar, { level: 1 });
    return { descriptor: describeBytes(plain ? mediaType.ociLayer : mediaType.ociLayerGzip, bytes), bytes };
  });
  const configBytes = canonicalJson({
    architecture: 'amd64',
    os: 'linux',
    config: options.config ?? {},
    rootfs: { type: 'layers', diff_ids: tars.map((tar) => describeBytes('', tar).digest) },
  });
  const config = { descriptor: describeBytes(mediaType.ociConfig, configBytes), bytes: configBytes };
  const manifest = writeManifest(mediaType.ociManifest, {
    config: config.descriptor,
    layers: layers.map(({ descriptor }) => descriptor),
    ...options.manifest,
  });
  return { config, layers, manifest };
}

/** An image of two layers with a few small files; `seed` makes it another one. */
export async function smallImage(seed = 'a', options: MemoryImageOptions = {}): Promise<MemoryImage> {
  const lower = await tarBytes([
    { name: 'etc/', type: 'directory', mode: 0o755 },
    { name: 'etc/hello', content: `hello ${seed}\n` },
    { name: 'etc/large', content: Buffer.alloc(100_000, seed) },
  ]);
  const upper = await tarBytes([{ name: 'etc/more', content: `more ${seed}\n` }]);
  return memoryImage([lower, upper], { config: { Cmd: ['/bin/true'], Env: ['A=1'] }, ...options });
}

/** A blob no compression makes smaller. @param length - bytes */
export function randomBlob(length: number): MemoryBlob {
  const bytes = randomBytes(length);
  return { descriptor: describeBytes('application/octet-stream', bytes), bytes };
}

/** Pieces of `bytes`, as a stream delivers them. */
export async function* streamOf(bytes: Uint8Array, pieceLength = 64 * 1024): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += pieceLength) yield bytes.subarray(at, at + pieceLength);
}

/** All of a stream, joined. */
export async function collect(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Stores an image under the target's tag: what `sluice` does when it writes one. */
export async function putImage(target: ImageTarget, image: MemoryImage, tag = true): Promise<void> {
  for (const { descriptor, bytes } of [...image.layers, image.config]) {
    await target.putBlob(descriptor, () => streamOf(bytes));
  }
  await target.putManifest(image.manifest, tag);
}
