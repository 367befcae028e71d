import { openDockerArchive } from '../archive/docker-archive.ts';
import { openOciArchive } from '../archive/oci-archive.ts';
import { openOciArchiveTarget } from '../archive/oci-archive-target.ts';
import { UsageError } from '../errors.ts';
import { openLayoutImage } from '../layout/layout-folder.ts';
import { openLayoutTarget } from '../layout/layout-target.ts';
import type { ImageSource, ImageTarget, ReferrerTarget } from '../oci/image.ts';
import { parseReference } from '../oci/reference.ts';
import { openRegistryReferrerTarget } from '../registry/referrer-target.ts';
import { openRegistryImage } from '../registry/registry-image.ts';
import type { RegistryOptions } from '../registry/registry-options.ts';
import { openRegistryTarget } from '../registry/registry-target.ts';

/**
 * Opens the image `text` names, wherever that is; nothing is read yet.
 * @param text - as skopeo writes it: `docker://`, `oci:`, `oci-archive:`, `docker-archive:`
 * @throws {UsageError} SLUICE_REFERENCE_INVALID
 */
export function openSource(text: string, options: RegistryOptions): ImageSource {
  const reference = parseReference(text);
  switch (reference.transport) {
    case 'docker':
      return openRegistryImage(reference, options);
    case 'oci':
      return openLayoutImage(reference);
    case 'oci-archive':
      return openOciArchive(reference);
    case 'docker-archive':
      return openDockerArchive(reference);
  }
}

/**
 * Opens the place `text` names for writing.
 * @throws {UsageError} SLUICE_REFERENCE_INVALID, also for a place images cannot be written to
 */
export function openTarget(text: string, options: RegistryOptions): ImageTarget {
  const reference = parseReference(text);
  switch (reference.transport) {
    case 'docker':
      return openRegistryTarget(reference, options);
    case 'oci':
      return openLayoutTarget(reference);
    case 'oci-archive':
      return openOciArchiveTarget(reference);
    case 'docker-archive':
      throw new UsageError(
        'SLUICE_REFERENCE_INVALID',
        `Cannot write to "${text}": a docker archive holds no chunked blobs; use docker://, oci: or oci-archive:`,
      );
  }
}

/**
 * Opens the image `text` names as a place to attach manifests to; it may be named by digest.
 * @throws {UsageError} SLUICE_REFERENCE_INVALID, also for an archive: nothing can be added to that
 */
export function openReferrerTarget(text: string, options: RegistryOptions): ReferrerTarget {
  const reference = parseReference(text);
  switch (reference.transport) {
    case 'docker':
      return openRegistryReferrerTarget(reference, options);
    case 'oci':
      return openLayoutTarget(reference);
    case 'oci-archive':
    case 'docker-archive':
      throw new UsageError(
        'SLUICE_REFERENCE_INVALID',
        `Cannot attach to "${text}": an archive is written as a whole; use docker:// or oci:`,
      );
  }
}
