import { verifyStream } from '../digest/verified-stream.ts';
import { FormatError } from '../errors.ts';
import type { BlobSource, Descriptor } from './image.ts';
import { maximumJsonBytes } from './json.ts';

/**
 * Reads a whole small blob (a manifest, a configuration) into memory and verifies it. Content that the descriptor embeds
 * is taken from there, without asking `source`. Source: OCI image-spec 1.1, descriptor.md, Embedded Content.
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
  const { data } = descriptor;
  const content = data === undefined ? source.readBlob(descriptor, undefined, signal) : embedded(data);
  for await (const chunk of verifyStream(content, descriptor, digest)) {
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

async function* embedded(data: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(data, 'base64');
}
