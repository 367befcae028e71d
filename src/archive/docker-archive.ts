import { open } from 'node:fs/promises';
import { createHasher } from '../digest/hash.ts';
import { FormatError, NotFoundError } from '../errors.ts';
import { describeBytes, writeManifest } from '../oci/canonical-json.ts';
import { type ImageConfig, parseConfig } from '../oci/config.ts';
import { type Digest, digestFromBytes } from '../oci/digest.ts';
import type { ByteRange, Descriptor, ImageSource, LocalBlob, RawManifest } from '../oci/image.ts';
import { arrayAt, maximumJsonBytes, objectAt, parseJsonObject, stringAt, stringsAt } from '../oci/json.ts';
import { mediaType } from '../oci/media-types.ts';
import { type DockerArchiveReference, formatReference } from '../oci/reference.ts';
import { readRun } from './read-run.ts';
import { TarIndex } from './tar-index.ts';

/** Most images of one `docker save`. */
const maximumImages = 1000;

/** One entry of manifest.json. Source: moby, image/spec/v1.2, "Combined Image JSON + Filesystem Changeset Format". */
interface SavedImage {
  readonly config: string;
  readonly tags: readonly string[];
  readonly layers: readonly string[];
}

/** What the archive holds of the image: a manifest made for it, and where each blob lies. */
interface OpenedImage {
  readonly manifest: RawManifest;
  readonly blobs: ReadonlyMap<Digest, LocalBlob>;
}

function invalid(file: string, why: string): FormatError {
  return new FormatError('SLUICE_ARCHIVE_INVALID', `Cannot read archive "${file}": ${why}`);
}

async function collect(content: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of content) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** manifest.json is a list, and the reader of hostile JSON wants an object around it. */
function parseSaved(bytes: Uint8Array): SavedImage[] {
  const wrapped = Buffer.concat([Buffer.from('{"images":'), bytes, Buffer.from('}')]);
  return arrayAt(parseJsonObject(wrapped, 'manifest.json').images, 'manifest.json', maximumImages).map((image) => {
    const object = objectAt(image, 'manifest.json image');
    return {
      config: stringAt(object.Config, 'manifest.json Config'),
      tags: stringsAt(object.RepoTags, 'manifest.json RepoTags'),
      layers: stringsAt(object.Layers, 'manifest.json Layers'),
    };
  });
}

function select(images: readonly SavedImage[], tag: string | undefined, what: string): SavedImage {
  const wanted = tag === undefined || tag.includes(':') ? tag : `${tag}:latest`;
  // Tags are saved with or without Docker Hub's name in front, as the user once typed them.
  const short = (name: string) => name.replace(/^docker\.io\/(library\/)?/, '');
  const found =
    wanted === undefined ? images : images.filter(({ tags }) => tags.some((name) => short(name) === short(wanted)));
  const [first] = found;
  if (first !== undefined && (found.length === 1 || wanted !== undefined)) return first;
  const tags = images.flatMap((image) => image.tags);
  const why = found.length > 1 ? `it holds ${found.length} images` : 'no such image';
  throw new NotFoundError(
    'SLUICE_IMAGE_NOT_FOUND',
    `Cannot find image "${what}": ${why}; tags: ${tags.slice(0, 20).join(', ') || 'none'}`,
  );
}

async function isGzip(run: LocalBlob): Promise<boolean> {
  const handle = await open(run.path, 'r');
  try {
    const start = Buffer.alloc(2);
    await handle.read(start, 0, 2, run.offset);
    return run.length >= 2 && start.readUInt16BE() === 0x1f8b;
  } finally {
    await handle.close();
  }
}

/**
 * Describes a layer. `docker save` writes plain tars, whose digest the config already knows, so nothing is read; a
 * compressed one, which `docker load` takes too, is hashed once.
 */
async function describeLayer(run: LocalBlob, diffId: Digest): Promise<Descriptor> {
  const size = run.length;
  if (!(await isGzip(run))) return { mediaType: mediaType.ociLayer, digest: diffId, size };
  const hasher = createHasher('sha256');
  for await (const chunk of readRun(run)) hasher.update(chunk);
  return { mediaType: mediaType.ociLayerGzip, digest: digestFromBytes(hasher.digest()), size };
}

class DockerArchive implements ImageSource {
  readonly reference: string;
  readonly #file: string;
  readonly #tag: string | undefined;
  #opened: Promise<OpenedImage> | undefined;

  constructor(reference: DockerArchiveReference) {
    this.reference = formatReference(reference);
    this.#file = reference.path;
    this.#tag = reference.tag;
  }

  async resolve(): Promise<RawManifest> {
    return (await this.#open()).manifest;
  }

  async readManifest(descriptor: Descriptor): Promise<RawManifest> {
    const { manifest } = await this.#open();
    if (descriptor.digest !== manifest.descriptor.digest) throw this.#missing('SLUICE_IMAGE_NOT_FOUND', descriptor);
    return manifest;
  }

  async *readBlob(descriptor: Descriptor, range?: ByteRange, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
    const blob = await this.localBlob(descriptor);
    if (blob === undefined) throw this.#missing('SLUICE_BLOB_NOT_FOUND', descriptor);
    const { start, end } = range ?? { start: 0, end: blob.length };
    if (!(start >= 0 && start <= end && end <= blob.length)) {
      throw new RangeError(`Range ${start}–${end} is outside of ${descriptor.digest}, ${blob.length} bytes`);
    }
    if (start < end) yield* readRun({ path: blob.path, offset: blob.offset + start, length: end - start }, signal);
  }

  async localBlob(descriptor: Descriptor): Promise<LocalBlob | undefined> {
    return (await this.#open()).blobs.get(descriptor.digest);
  }

  async referrers(): Promise<readonly Descriptor[]> {
    return [];
  }

  async close(): Promise<void> {}

  #open(): Promise<OpenedImage> {
    this.#opened ??= this.#read();
    return this.#opened;
  }

  async #read(): Promise<OpenedImage> {
    const tar = await TarIndex.read(this.#file);
    const image = select(parseSaved(await this.#readSmall(tar, 'manifest.json')), this.#tag, this.reference);
    const configBytes = await this.#readSmall(tar, image.config);
    const config = parseConfig(configBytes);
    const layers = await this.#layers(tar, image, config);
    const configRun = tar.find(image.config);
    const described = describeBytes(mediaType.ociConfig, configBytes);
    const blobs = new Map(layers.map(({ descriptor, run }) => [descriptor.digest, run]));
    if (configRun) blobs.set(described.digest, configRun);
    const manifest = writeManifest(mediaType.ociManifest, {
      config: described,
      layers: layers.map(({ descriptor }) => descriptor),
    });
    return { manifest, blobs };
  }

  async #layers(
    tar: TarIndex,
    image: SavedImage,
    config: ImageConfig,
  ): Promise<readonly { descriptor: Descriptor; run: LocalBlob }[]> {
    if (image.layers.length !== config.diffIds.length) {
      throw invalid(this.#file, `${image.layers.length} layers, and diff_ids for ${config.diffIds.length}`);
    }
    const layers: { descriptor: Descriptor; run: LocalBlob }[] = [];
    for (const [index, diffId] of config.diffIds.entries()) {
      const run = tar.find(image.layers[index] ?? '');
      if (run === undefined) throw invalid(this.#file, `layer "${image.layers[index]}" is not there`);
      layers.push({ descriptor: await describeLayer(run, diffId), run });
    }
    return layers;
  }

  async #readSmall(tar: TarIndex, name: string): Promise<Uint8Array> {
    const run = tar.find(name);
    if (run === undefined) throw invalid(this.#file, `no "${name.slice(0, 200)}"; not made by docker save`);
    if (run.length > maximumJsonBytes) throw invalid(this.#file, `"${name}" is ${run.length} bytes long`);
    return run.length === 0 ? new Uint8Array() : collect(readRun(run));
  }

  #missing(code: 'SLUICE_IMAGE_NOT_FOUND' | 'SLUICE_BLOB_NOT_FOUND', { digest }: Descriptor): NotFoundError {
    return new NotFoundError(code, `Cannot read ${digest} of "${this.reference}": not there`, { facts: { digest } });
  }
}

/**
 * Opens an image in a file made by `docker save`, without unpacking it; nothing is read before the first call.
 * The archive has no OCI manifest of its own that would hold for it: one is made, always the same for the same file.
 */
export function openDockerArchive(reference: DockerArchiveReference): ImageSource {
  return new DockerArchive(reference);
}
