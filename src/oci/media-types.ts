/** Source: OCI image-spec 1.1, media-types.md; Docker image manifest version 2, schema 2. */
export const mediaType = {
  ociIndex: 'application/vnd.oci.image.index.v1+json',
  ociManifest: 'application/vnd.oci.image.manifest.v1+json',
  ociConfig: 'application/vnd.oci.image.config.v1+json',
  ociLayer: 'application/vnd.oci.image.layer.v1.tar',
  ociLayerGzip: 'application/vnd.oci.image.layer.v1.tar+gzip',
  ociLayerZstd: 'application/vnd.oci.image.layer.v1.tar+zstd',
  ociEmpty: 'application/vnd.oci.empty.v1+json',
  dockerIndex: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
} as const;

const indexes: ReadonlySet<string> = new Set([mediaType.ociIndex, mediaType.dockerIndex]);
const manifests: ReadonlySet<string> = new Set([mediaType.ociManifest, mediaType.dockerManifest]);

export function isIndex(type: string): boolean {
  return indexes.has(type);
}

export function isManifest(type: string): boolean {
  return manifests.has(type);
}

/** What a client understands, in the order it prefers: the value of an Accept header. */
export const manifestMediaTypes: readonly string[] = [...manifests, ...indexes];

/** How a layer's tar is compressed. */
export type LayerCompression = 'none' | 'gzip' | 'zstd';

/**
 * Docker's, OCI's and the old non-distributable names all say the compression in their ending.
 * @returns `undefined` when `type` names no tar layer
 */
export function layerCompression(type: string): LayerCompression | undefined {
  if (!/^application\/vnd\.(oci\.image\.layer\.|docker\.image\.rootfs\.)/.test(type)) return undefined;
  if (/\.tar([+.]gzip)$/.test(type)) return 'gzip';
  if (/\.tar([+.]zstd)$/.test(type)) return 'zstd';
  return type.endsWith('.tar') ? 'none' : undefined;
}
