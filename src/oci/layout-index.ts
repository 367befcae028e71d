import { FormatError, NotFoundError } from '../errors.ts';
import { canonicalJson } from './canonical-json.ts';
import { type Digest, digestHex } from './digest.ts';
import type { Descriptor } from './image.ts';
import { arrayAt, type Json, objectAt, parseJsonObject, stringAt, stringMapAt } from './json.ts';
import { parseDescriptor } from './manifest.ts';
import { mediaType } from './media-types.ts';

/** Names and rules of an OCI image layout. Source: OCI image-spec 1.1, image-layout.md. */
export const layoutFile = 'oci-layout';
export const layoutIndexFile = 'index.json';
export const layoutFileContent: Uint8Array = canonicalJson({ imageLayoutVersion: '1.0.0' });
const refName = 'org.opencontainers.image.ref.name';

/** Most entries of an index.json: each may be opened to find a referrer. */
const maximumEntries = 10_000;

/** Where a blob lies below the layout's root. */
export function layoutBlobPath(digest: Digest): string {
  return `blobs/sha256/${digestHex(digest)}`;
}

/**
 * @param bytes - the file `oci-layout`
 * @throws {FormatError} SLUICE_MANIFEST_UNSUPPORTED for another version
 */
export function checkLayoutFile(bytes: Uint8Array): void {
  const version = stringAt(parseJsonObject(bytes, layoutFile).imageLayoutVersion, `${layoutFile} imageLayoutVersion`);
  if (version !== '1.0.0') {
    throw new FormatError(
      'SLUICE_MANIFEST_UNSUPPORTED',
      `Cannot read layout: version "${version.slice(0, 40)}" is not "1.0.0"`,
    );
  }
}

/** What an index.json lists, in its order. */
export function parseLayoutIndex(bytes: Uint8Array): readonly Descriptor[] {
  const { manifests } = parseJsonObject(bytes, layoutIndexFile);
  return arrayAt(manifests, `${layoutIndexFile} manifests`, maximumEntries).map((entry, index) =>
    parseDescriptor(entry, `${layoutIndexFile} manifest ${index}`),
  );
}

function tagOf(entry: Descriptor): string | undefined {
  return entry.annotations?.[refName];
}

/** An artifact that refers to an image is listed like one, but is never what a reference without a tag means. */
function isReferrer(entry: Descriptor): boolean {
  return entry.artifactType !== undefined && tagOf(entry) === undefined;
}

/**
 * The entry a reference names.
 *
 * @param tag - `undefined` for the only image there is
 * @param what - the reference, for messages
 * @throws {NotFoundError} SLUICE_IMAGE_NOT_FOUND, the message lists the tags there are
 */
export function selectTagged(entries: readonly Descriptor[], tag: string | undefined, what: string): Descriptor {
  const images = entries.filter((entry) => !isReferrer(entry));
  const found = tag === undefined ? images : images.filter((entry) => tagOf(entry) === tag);
  const [first] = found;
  if (first !== undefined && (found.length === 1 || tag !== undefined)) return first;
  const tags = images.map(tagOf).filter((name) => name !== undefined);
  const why = found.length > 1 ? `it holds ${found.length} images` : 'no such image';
  throw new NotFoundError(
    'SLUICE_IMAGE_NOT_FOUND',
    `Cannot find image "${what}": ${why}; tags: ${tags.slice(0, 20).join(', ') || 'none'}`,
    { facts: { tag } },
  );
}

/**
 * The content of an index.json with `descriptor` under `tag`. What the tag named before is no longer listed;
 * everything else stays, members sluice does not know included.
 *
 * @param bytes - the file as it is; `undefined` when there is none yet
 * @param tag - `undefined` puts the image in the place of the one without a tag
 * @param dropped - what is to be listed no more
 */
export function updateLayoutIndex(
  bytes: Uint8Array | undefined,
  descriptor: Descriptor,
  tag: string | undefined,
  dropped: readonly Digest[] = [],
): Uint8Array {
  const old = bytes === undefined ? {} : parseJsonObject(bytes, layoutIndexFile);
  const named: Descriptor =
    tag === undefined ? descriptor : { ...descriptor, annotations: { ...descriptor.annotations, [refName]: tag } };
  const stays = (entry: Json, index: number): boolean => {
    const known = parseDescriptor(objectAt(entry, layoutIndexFile), `${layoutIndexFile} manifest ${index}`);
    if (dropped.includes(known.digest)) return false;
    if (isReferrer(named) || isReferrer(known)) return known.digest !== named.digest;
    return stringMapAt(objectAt(entry, layoutIndexFile).annotations, layoutIndexFile)[refName] !== tag;
  };
  const kept = arrayAt(old.manifests, `${layoutIndexFile} manifests`, maximumEntries).filter(stays);
  return canonicalJson({ schemaVersion: 2, mediaType: mediaType.ociIndex, ...old, manifests: [...kept, named] });
}
