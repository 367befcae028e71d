import { verifyStream } from '../digest/verified-stream.ts';
import { FormatError } from '../errors.ts';
import type { BlobSource, Descriptor } from './image.ts';
import { maximumJsonBytes } from './json.ts';

/**
 * Reads a whole small blob (a manifest, a configuration) into memory and verifies it.
 *
 * @returns a buffer of the caller's
 * @throws {FormatError} SLUICE_MANIFEST_INVALID when the descriptor promises more than a document may have
 * @throws {IntegrityError} SLUICE_DIGEST_MISMATCH, SLUICE_SIZE_MISMATCH
 */
export async function readDocument(
  source: BlobSource,
  descriptor: Descriptor,
  signal?: AbortSignal,
): Promise<Uint8Array> {
  const { digest, size } = descriptor;
  if (size > maximumJsonBytes) {
    throw new FormatError(
      'SLUICE_MANIFEST_INVALID',
      `Cannot read ${digest}: ${size} bytes, more than ${maximumJsonBytes}`,
    );
  }
  const chunks: Uint8Array[] = [];
  for await (const chunk of verifyStream(source.readBlob(descriptor, undefined, signal), descriptor, digest)) {
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
