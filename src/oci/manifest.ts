import { FormatError } from '../errors.ts';
import { parseDigest } from './digest.ts';
import type { Descriptor, Platform, RawManifest } from './image.ts';
import {
  arrayAt,
  type Json,
  type JsonObject,
  objectAt,
  optionalStringAt,
  parseJsonObject,
  sizeAt,
  stringAt,
  stringMapAt,
  stringsAt,
} from './json.ts';
import { isIndex, isManifest } from './media-types.ts';

/**
 * Most layers of an image. Docker stops at 127, overlayfs at 500; a manifest of 4 MiB could name 30,000, and each would
 * cost a connection, a device slot and a decoder.
 */
const maximumLayers = 1000;

/** Most manifests of an index: each may be read to find a platform or a referrer. */
const maximumManifests = 10_000;

/** Longest embedded content kept, in characters of base64: without a cap, every copy of a descriptor could weigh megabytes. */
const maximumDataLength = 64 * 1024;

/** Source: OCI image-spec 1.1, manifest.md; Docker's schema 2 is a subset. */
export interface Manifest {
  readonly mediaType: string;
  readonly config: Descriptor;
  /** Lowest first. */
  readonly layers: readonly Descriptor[];
  readonly subject: Descriptor | undefined;
  readonly artifactType: string | undefined;
  readonly annotations: Readonly<Record<string, string>>;
}

/** Source: OCI image-spec 1.1, image-index.md; Docker's manifest list is a subset. */
export interface ImageIndex {
  readonly mediaType: string;
  readonly manifests: readonly Descriptor[];
  readonly subject: Descriptor | undefined;
  readonly artifactType: string | undefined;
  readonly annotations: Readonly<Record<string, string>>;
}

function parsePlatformObject(value: Json, where: string): Platform {
  const object = objectAt(value, where);
  const variant = optionalStringAt(object.variant, `${where} variant`);
  const osVersion = optionalStringAt(object['os.version'], `${where} os.version`);
  return {
    architecture: stringAt(object.architecture, `${where} architecture`),
    os: stringAt(object.os, `${where} os`),
    ...(variant ? { variant } : {}),
    ...(osVersion ? { 'os.version': osVersion } : {}),
  };
}

/**
 * Reads one descriptor; unknown members are dropped, and embedded content that is long: it can be fetched.
 * @throws {FormatError} SLUICE_MANIFEST_INVALID
 */
export function parseDescriptor(value: Json | undefined, where: string): Descriptor {
  const object = objectAt(value, where);
  const annotations = stringMapAt(object.annotations, `${where} annotations`);
  const urls = stringsAt(object.urls, `${where} urls`);
  const artifactType = optionalStringAt(object.artifactType, `${where} artifactType`);
  const data = optionalStringAt(object.data, `${where} data`);
  return {
    mediaType: stringAt(object.mediaType, `${where} mediaType`),
    digest: parseDigest(stringAt(object.digest, `${where} digest`)),
    size: sizeAt(object.size, `${where} size`),
    ...(Object.keys(annotations).length > 0 ? { annotations } : {}),
    ...(urls.length > 0 ? { urls } : {}),
    ...(artifactType ? { artifactType } : {}),
    ...(object.platform ? { platform: parsePlatformObject(object.platform, `${where} platform`) } : {}),
    ...(data !== undefined && data.length <= maximumDataLength ? { data } : {}),
  };
}

/**
 * The checks both kinds share. A document that says one type inside and another outside, or that is both kinds at once,
 * means one image to one tool and another to the next (CVE-2021-41190): refused.
 */
function openDocument(raw: RawManifest, kind: string, isKind: (type: string) => boolean): JsonObject {
  const { mediaType, digest } = raw.descriptor;
  const where = `${kind} ${digest}`;
  if (!isKind(mediaType)) {
    throw new FormatError(
      'SLUICE_MANIFEST_UNSUPPORTED',
      `Cannot read ${where}: media type "${mediaType.slice(0, 200)}"`,
    );
  }
  const object = parseJsonObject(raw.bytes, where);
  if (object.schemaVersion !== 2) {
    throw new FormatError('SLUICE_MANIFEST_UNSUPPORTED', `Cannot read ${where}: schemaVersion is not 2`);
  }
  const inside = optionalStringAt(object.mediaType, `${where} mediaType`);
  if (inside !== undefined && inside !== mediaType) {
    throw new FormatError(
      'SLUICE_MANIFEST_INVALID',
      `Cannot read ${where}: served as "${mediaType}" but calls itself "${inside.slice(0, 200)}"`,
    );
  }
  if (object.manifests !== undefined && (object.layers !== undefined || object.config !== undefined)) {
    throw new FormatError('SLUICE_MANIFEST_INVALID', `Cannot read ${where}: both an index and a manifest`);
  }
  return object;
}

function parseCommon(
  object: JsonObject,
  mediaType: string,
  where: string,
): Pick<ImageIndex, 'mediaType' | 'subject' | 'artifactType' | 'annotations'> {
  return {
    mediaType,
    subject: object.subject ? parseDescriptor(object.subject, `${where} subject`) : undefined,
    artifactType: optionalStringAt(object.artifactType, `${where} artifactType`),
    annotations: stringMapAt(object.annotations, `${where} annotations`),
  };
}

/**
 * Reads an image manifest, OCI or Docker schema 2.
 *
 * @param raw - its digest is taken as verified; nothing of `bytes` is kept
 * @throws {FormatError} SLUICE_MANIFEST_INVALID; SLUICE_MANIFEST_UNSUPPORTED for another media type or schema 1
 */
export function parseManifest(raw: RawManifest): Manifest {
  const object = openDocument(raw, 'manifest', isManifest);
  const where = `manifest ${raw.descriptor.digest}`;
  return {
    ...parseCommon(object, raw.descriptor.mediaType, where),
    config: parseDescriptor(object.config, `${where} config`),
    layers: arrayAt(object.layers, `${where} layers`, maximumLayers).map((layer, index) =>
      parseDescriptor(layer, `${where} layer ${index}`),
    ),
  };
}

/**
 * Reads an image index or a Docker manifest list.
 *
 * @param raw - its digest is taken as verified; nothing of `bytes` is kept
 * @throws {FormatError} SLUICE_MANIFEST_INVALID; SLUICE_MANIFEST_UNSUPPORTED for another media type
 */
export function parseIndex(raw: RawManifest): ImageIndex {
  const object = openDocument(raw, 'index', isIndex);
  const where = `index ${raw.descriptor.digest}`;
  return {
    ...parseCommon(object, raw.descriptor.mediaType, where),
    manifests: arrayAt(object.manifests, `${where} manifests`, maximumManifests).map((manifest, index) =>
      parseDescriptor(manifest, `${where} manifest ${index}`),
    ),
  };
}

/**
 * The media type of a document whose server named none, or a general one.
 * @throws {FormatError} SLUICE_MANIFEST_INVALID; SLUICE_MANIFEST_UNSUPPORTED when it is none that sluice reads
 */
export function sniffMediaType(bytes: Uint8Array, what: string): string {
  const object = parseJsonObject(bytes, what);
  const inside = optionalStringAt(object.mediaType, `${what} mediaType`);
  if (inside !== undefined) return inside;
  if (object.manifests !== undefined) return 'application/vnd.oci.image.index.v1+json';
  if (object.layers !== undefined) return 'application/vnd.oci.image.manifest.v1+json';
  throw new FormatError('SLUICE_MANIFEST_UNSUPPORTED', `Cannot read ${what}: neither an index nor a manifest`);
}
