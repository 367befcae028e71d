/** Names of what sluice writes into manifests. Normative: docs/format.md, "In a registry". */
export const annotation = {
  /** On the manifest: version of the format. */
  format: 'dev.sluice.format',
  /** On the manifest: fs-verity digest of the bootstrap, `sha256:` and hex. */
  root: 'dev.sluice.root',
  /** On the manifest: digest of the manifest this image was converted from. */
  source: 'dev.sluice.source',
  /** On a layer blob: the layer key it was converted under. */
  layerKey: 'dev.sluice.layer-key',
  /** On the bootstrap layer: bytes of the bootstrap file. */
  bootstrapSize: 'dev.sluice.bootstrap-size',
} as const;

/** What `dev.sluice.format` says in images this version writes and reads. */
export const formatVersion = '2';

/** Begins with the prefix by which containerd knows a layer. */
export const blobMediaType = 'application/vnd.oci.image.layer.sluice.v1+zstd';
