import type { MountRequest } from '../control/protocol.ts';
import { FormatError } from '../errors.ts';
import type { ServedImage } from '../mount/serve-image.ts';
import type { Digest } from '../oci/digest.ts';
import { formatReference, parseReference } from '../oci/reference.ts';

/** What a process needs to serve a mount that another one made. JSON. */
export interface MountRecord {
  /** Its image is named by digest where it can be, and its mount point is canonical. */
  readonly request: MountRequest;
  /** Merkle root of the image that is mounted: no other may ever be served there. */
  readonly root: Digest;
}

export function recordOf(request: MountRequest, { content, mountPoint, fill }: ServedImage): MountRecord {
  const { image } = content;
  const reference = parseReference(request.image);
  const byDigest =
    reference.transport === 'docker'
      ? formatReference({ ...reference, tag: undefined, digest: image.raw.descriptor.digest })
      : request.image;
  const { kind, bytesPerSecond } = fill.state;
  const filling = kind === undefined ? undefined : { kind: 'background' as const, bytesPerSecond };
  return { request: { ...request, image: byDigest, mountPoint, fill: filling }, root: image.root };
}

/** @throws {FormatError} SLUICE_MANIFEST_UNSUPPORTED when it is another image by now */
export function checkRoot({ request, root }: MountRecord, found: Digest): void {
  if (found === root) return;
  throw new FormatError(
    'SLUICE_MANIFEST_UNSUPPORTED',
    `Cannot serve "${request.mountPoint}": ${request.image} is another image than the one mounted there`,
    { facts: { expected: root, actual: found } },
  );
}
