import { Bootstrap } from '../bootstrap/bootstrap.ts';
import type { FileStore } from '../cache/file-store.ts';
import { FormatError } from '../errors.ts';
import { type ImageConfig, parseConfig } from '../oci/config.ts';
import { type Digest, digestHex, parseDigest } from '../oci/digest.ts';
import type { Descriptor, ImageSource, Platform, RawManifest } from '../oci/image.ts';
import { type Manifest, parseManifest } from '../oci/manifest.ts';
import { readDocument } from '../oci/read-document.ts';
import { annotation, formatVersion } from './annotations.ts';
import { fetchBootstrap } from './bootstrap-layer.ts';
import { type KeptAnswer, KeptDocuments } from './kept-documents.ts';
import { OfflineSource } from './offline-source.ts';
import { resolveManifest } from './resolve.ts';

/** A sluice image, its metadata verified down to the manifest's digest. Immutable; holds no file or connection. */
export interface OpenImage {
  readonly reference: string;
  readonly raw: RawManifest;
  readonly manifest: Manifest;
  /** Undefined: its place said which image it is. */
  readonly resolvedFrom: KeptAnswer | undefined;
  readonly config: ImageConfig;
  /** Merkle root of the bootstrap. */
  readonly root: Digest;
  /** On shared memory, for worker threads. */
  readonly bootstrap: Bootstrap;
  /** The layer blobs, in the order of the bootstrap's devices. */
  readonly blobs: readonly Descriptor[];
  readonly bootstrapLayer: Descriptor;
}

export interface OpenImageOptions {
  /** Where manifests, configs and bootstraps are kept; what is there is not fetched again. */
  readonly files?: FileStore | undefined;
  readonly platform?: Platform | undefined;
  readonly signal?: AbortSignal | undefined;
  /** No registry is asked for anything: what is not in `files` is SLUICE_OFFLINE. */
  readonly offline?: boolean | undefined;
  /**
   * Called when the manifest is known, while config and bootstrap are still on their way: what else depends on it can
   * begin.
   * @param documents - where to ask for what refers to the manifest
   */
  readonly onManifest?: ((manifest: Digest, documents: Pick<ImageSource, 'referrers'>) => void) | undefined;
}

/** An image that is known by digest, and of which nothing else was read. */
export interface ResolvedImage extends Pick<OpenImage, 'reference' | 'raw' | 'manifest' | 'resolvedFrom'> {
  /** Its documents, kept where there is a place for them. */
  readonly documents: KeptDocuments | ImageSource;
}

/**
 * Opens a sluice image for reading.
 *
 * @throws {FormatError} SLUICE_MANIFEST_UNSUPPORTED for any other image: there is no way to read it but a full pull,
 *   which is never done silently
 * @throws {IntegrityError} SLUICE_MERKLE_MISMATCH, SLUICE_DIGEST_MISMATCH
 */
export async function openImage(source: ImageSource, options: OpenImageOptions = {}): Promise<OpenImage> {
  return openResolved(source, await resolveImage(source, options), options);
}

/** The first half of {@link openImage}: which image it is. */
export async function resolveImage(source: ImageSource, options: OpenImageOptions = {}): Promise<ResolvedImage> {
  const { files, platform, signal } = options;
  const asked = reachable(source, options);
  const documents = files === undefined ? asked : new KeptDocuments(asked, files);
  const raw = await resolveManifest(documents, platform, isSluice, signal);
  const resolvedFrom = documents instanceof KeptDocuments ? documents.resolvedFrom : undefined;
  return { reference: source.reference, raw, manifest: parseManifest(raw), documents, resolvedFrom };
}

/** The second half of {@link openImage}. */
export async function openResolved(
  source: ImageSource,
  { reference, raw, manifest, documents, resolvedFrom }: ResolvedImage,
  options: OpenImageOptions = {},
): Promise<OpenImage> {
  const { files, signal } = options;
  const { root, blobs, bootstrapLayer } = readAnnotations(reference, manifest);
  options.onManifest?.(raw.descriptor.digest, documents);
  const [bootstrap, config] = await Promise.all([
    openBootstrap(reachable(source, options), root, bootstrapLayer, files, signal),
    readDocument(documents, manifest.config, signal).then(parseConfig),
  ]);
  checkDevices(bootstrap, blobs);
  return { reference, raw, manifest, resolvedFrom, config, root, bootstrap, blobs, bootstrapLayer };
}

/** What may be read from: an image that lies on this machine always. */
function reachable(source: ImageSource, { offline }: OpenImageOptions): ImageSource {
  return offline && source.reference.startsWith('docker://') ? new OfflineSource(source.reference) : source;
}

/** Whether a manifest is of an image that sluice made. */
export function isSluice(manifest: Manifest): boolean {
  return manifest.annotations[annotation.format] !== undefined;
}

function readAnnotations(reference: string, manifest: Manifest): Pick<OpenImage, 'root' | 'blobs' | 'bootstrapLayer'> {
  const version = manifest.annotations[annotation.format];
  if (version === undefined) {
    throw new FormatError(
      'SLUICE_MANIFEST_UNSUPPORTED',
      `Cannot open ${reference}: it is no sluice image; make one with "sluice convert ${reference} DESTINATION"`,
    );
  }
  const root = manifest.annotations[annotation.root];
  const bootstrapLayer = manifest.layers.at(-1);
  if (version !== formatVersion || root === undefined || bootstrapLayer === undefined) {
    throw new FormatError(
      'SLUICE_MANIFEST_UNSUPPORTED',
      `Cannot open ${reference}: format version "${version}", want "${formatVersion}"; convert the image again`,
    );
  }
  return { root: parseDigest(root), blobs: manifest.layers.slice(0, -1), bootstrapLayer };
}

async function openBootstrap(
  source: ImageSource,
  root: Digest,
  layer: Descriptor,
  files: FileStore | undefined,
  signal: AbortSignal | undefined,
): Promise<Bootstrap> {
  const hex = digestHex(root);
  const expected = Buffer.from(hex, 'hex');
  const kept = await files?.get('bootstrap', hex);
  if (kept !== undefined) {
    try {
      return Bootstrap.open(onSharedMemory(kept), expected);
    } catch {
      // Damaged on disk: it is fetched again and replaced.
    }
  }
  const fetched = await fetchBootstrap(source, layer, signal);
  const bootstrap = Bootstrap.open(fetched, expected);
  await files?.put('bootstrap', hex, fetched);
  return bootstrap;
}

function onSharedMemory(bytes: Uint8Array): Uint8Array {
  const shared = new Uint8Array(new SharedArrayBuffer(bytes.length));
  shared.set(bytes);
  return shared;
}

/** The manifest and the bootstrap both list the blobs: reading one device's bytes from another's blob must not happen. */
function checkDevices(bootstrap: Bootstrap, blobs: readonly Descriptor[]): void {
  const listed = blobs.map(({ digest, size }) => `${digest}/${size}`).join();
  const devices = bootstrap.devices.map(({ blob, blobSize }) => `${blob}/${blobSize}`).join();
  if (listed === devices) return;
  throw new FormatError('SLUICE_BOOTSTRAP_INVALID', 'Cannot open image: manifest and bootstrap name different blobs', {
    facts: { expected: listed, actual: devices },
  });
}
