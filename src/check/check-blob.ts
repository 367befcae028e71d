import { createHash } from 'node:crypto';
import type { BlobMetadata } from '../blob/metadata.ts';
import { hash } from '../digest/hash.ts';
import { MerkleBuilder } from '../digest/merkle.ts';
import { SluiceError } from '../errors.ts';
import { checkMetadata } from '../image/merge-layers.ts';
import type { OpenImage } from '../image/open-image.ts';
import { streamBlob } from '../image/stream-blob.ts';
import { digestFromBytes } from '../oci/digest.ts';
import type { BlobSource, Descriptor } from '../oci/image.ts';
import { decompress } from '../zstd/codec.ts';
import type { Problems } from './problem.ts';

/** A chunk that is not what the bootstrap says, and why. */
export interface BadChunk {
  readonly device: number;
  readonly chunk: number;
  readonly why: string;
}

export interface CheckedBlob {
  /** `undefined` when it can't be trusted or read. */
  readonly metadata: BlobMetadata | undefined;
  readonly bad: readonly BadChunk[];
  /** Chunks that were there to be hashed. */
  readonly chunks: number;
}

/**
 * Reads a blob from front to back: every chunk against its digest, the whole against the manifest, the device image
 * against the config and its fs-verity digest, the metadata frame against the bootstrap. Holds one chunk at a time.
 *
 * @param problems - takes what is wrong but for the chunks
 * @throws what says nothing about the image: the source's errors
 */
export async function checkBlob(
  source: BlobSource,
  image: OpenImage,
  device: number,
  problems: Problems,
  signal?: AbortSignal,
): Promise<CheckedBlob> {
  const { descriptor, chunks } = deviceOf(image, device);
  const merkle = new MerkleBuilder();
  const deviceHash = createHash('sha256');
  const bad: BadChunk[] = [];
  let seen = 0;
  const onFrame = (chunk: number, frame: Uint8Array): void => {
    seen = chunk + 1;
    const length = chunks.uncompressedLength(chunk);
    try {
      const bytes = decompress(frame, length);
      deviceHash.update(bytes);
      merkle.addPages(bytes);
      const actual = hash(image.bootstrap.digestAlgorithm, bytes);
      if (Buffer.compare(actual, chunks.digest(chunk)) === 0) return;
      bad.push({ device, chunk, why: `its digest is ${Buffer.from(actual).toString('hex')}` });
    } catch (error) {
      if (!(error instanceof SluiceError)) throw error;
      bad.push({ device, chunk, why: error.message });
    }
  };
  let metadata: BlobMetadata | undefined;
  try {
    metadata = await streamBlob(source, descriptor, chunks, onFrame, signal);
    checkMetadata(image.bootstrap, device, metadata);
  } catch (error) {
    problems.addError(error, { blob: descriptor.digest });
  }
  if (seen === chunks.count && bad.length === 0) {
    checkDiffId(image, device, digestFromBytes(deviceHash.digest()), problems);
    checkVerityDigest(image, device, merkle.finish().digest, problems);
  }
  for (let chunk = seen; chunk < chunks.count; chunk++) bad.push({ device, chunk, why: 'the blob ends before it' });
  return { metadata, bad, chunks: seen };
}

function deviceOf(image: OpenImage, device: number) {
  const descriptor: Descriptor | undefined = image.blobs[device];
  const record = image.bootstrap.devices[device];
  if (descriptor === undefined || record === undefined) throw new RangeError(`Cannot check device ${device}: none`);
  return { descriptor, ...record };
}

function checkDiffId(image: OpenImage, device: number, actual: string, problems: Problems): void {
  const expected = image.config.diffIds[device];
  if (actual === expected) return;
  const message = `Cannot vouch for device ${device}: its digest is ${actual}, the image config says ${expected ?? 'none'}`;
  const blob = image.blobs[device]?.digest;
  problems.add({ code: 'SLUICE_DIGEST_MISMATCH', message, ...(blob === undefined ? {} : { blob }), actual });
}

function checkVerityDigest(image: OpenImage, device: number, digest: Uint8Array, problems: Problems): void {
  const { blob, verityDigest } = deviceOf(image, device);
  if (Buffer.compare(digest, verityDigest) === 0) return;
  const expected = Buffer.from(verityDigest).toString('hex');
  const actual = Buffer.from(digest).toString('hex');
  const message = `Cannot vouch for pages of device ${device}: its fs-verity digest is ${actual}, the bootstrap says ${expected}`;
  problems.add({ code: 'SLUICE_MERKLE_MISMATCH', message, blob, expected, actual });
}
